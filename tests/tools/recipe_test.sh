#!/usr/bin/env bash
# Recipes as a user runs them: list, check, what is written, and what fails.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect "list names the recipes" 0 '^linear-regression .*phi' recipe list
expect "list as JSON" 0 '"recipes":\[.*\{"name":"linear-regression"' recipe list --json
expect "help of the group" 0 'check' recipe --help
expect "check without a name" 2 'one argument' recipe check
expect "an unknown recipe names the nearest" 2 "linear-regresion.*linear-regression" \
  recipe check linear-regresion
expect "list takes no word" 2 'linear-regression.*not known' recipe list linear-regression
expect "the paper's estimator has no standard error" 2 'paper' \
  recipe check linear-regression --estimators paper
expect "too few redraws" 2 'redraws' recipe check linear-regression --redraws 10

few=(linear-regression --redraws 20000 --estimators welford:8,persample)
expect "check" 0 '^ok +welford:8 +PIT' recipe check "${few[@]}" --out plots
check_not "nothing is outside" grep -q '^NOT' out
cp out first
for name in pit agreement narrow; do
  check "$name.svg is a plot" grep -q '</svg>' plots/$name.svg
  check "$name.svg is small" test "$(wc -c < plots/$name.svg)" -lt 40000
done
check "the numbers: a line a bin" test "$(wc -l < plots/calibration.csv)" -eq 121
check "the numbers: columns" grep -q '^wide,welford:8,0.900,1.000,' plots/calibration.csv
expect "again, on one thread" 0 '^ok' recipe check "${few[@]}" --threads 1 --out again
same "the same table" first out
same "the same numbers" plots/calibration.csv again/calibration.csv

expect "a number outside its band: exit code 8" 8 '^NOT +welford:8 +phi 0.9' \
  recipe check "${few[@]}" --narrow-high 0.6
check "and a sentence that says so" grep -q '^expunge: recipe linear-regression: 2 of its' err
expect "a wrong distribution is found" 8 '^NOT +ema:0.8 +PIT' \
  recipe check linear-regression --redraws 20000 --estimators ema:0.8 --pit-excess-ema 0
echo x > file
expect "a file where the folder belongs" 4 'file' recipe check "${few[@]}" --out file
finish
