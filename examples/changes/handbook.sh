#!/bin/sh
# Publishes a page of the handbook, and brings back what was there before.
# `check` ends with 0 where the page is the one of this folder, and with 1 where it is another or none.
set -eu
site=$HOME/clearway-example/handbook
page=$site/checkout-back.md

case $1 in
  apply)
    mkdir -p "$site"
    if [ -e "$page" ] && [ ! -e "$page.before" ]; then cp "$page" "$page.before"; fi
    cp checkout-back.md "$page"
    ;;
  check) [ -e "$page" ] && cmp -s checkout-back.md "$page" ;;
  undo) if [ -e "$page.before" ]; then mv "$page.before" "$page"; else rm -f "$page"; fi ;;
  observe) if [ -e "$page" ]; then cksum < "$page"; else echo 'there is no page'; fi ;;
esac
