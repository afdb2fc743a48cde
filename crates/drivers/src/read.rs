//! Readers: foreign formats, one file each, as values that the rest of the house knows.
//!
//! A reader takes text and gives values, or says what is wrong and where; it opens nothing and decides nothing.

pub mod evidence;
