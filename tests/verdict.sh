# shellcheck shell=bash
# Sourced by the structure tests.
failures=0

verdict() {  # name, lines that break the rule: none is good
  if [[ -z $2 ]]; then
    echo "ok - $1"
  else
    echo "not ok - $1"
    printf '%s\n' "$2" | sed 's/^/#   /'
    failures=$((failures + 1))
  fi
}
