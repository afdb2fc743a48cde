#!/bin/sh
# Builds the index of payments by customer, and takes it away again.
# `check` ends with 0 where the index is there, with 1 where it is not, and with 2 where nobody can say.
set -eu
database=$HOME/clearway-example/payments.db
count="select count(*) from sqlite_master where type = 'index' and name = 'payments_by_customer'"

case $1 in
  apply) sqlite3 "$database" 'create index payments_by_customer on payments (customer)' ;;
  check) found=$(sqlite3 "$database" "$count") || exit 2; [ "$found" = 1 ] ;;
  undo) sqlite3 "$database" 'drop index if exists payments_by_customer' ;;
  observe) sqlite3 "$database" .schema ;;
esac
