#!/usr/bin/env bash
# Usage: tools/download_data.sh SET [DIR]
#
# Fetches SET into DIR (default: datasets), checks its SHA-256 and prints the path that expunge data prepare
# takes. The same call again goes on where one was cut short, and fetches nothing that is there.
#
#   cifar10       170 MB, and 184 MB unpacked
#   cifar100      169 MB, and 185 MB unpacked
#   svhn          246 MB: the training and the test digits
#   svhn-extra    1.3 GB: the extra digits, a set of their own without a test part
#   all           these four
#
# A mirror's own copies:
#   EXPUNGE_DATA_MIRROR=BASE    the files come from BASE/NAME
#   EXPUNGE_DATA_SUMS=FILE      their sums, as sha256sum prints them, go before the published ones
#
# Exit codes: 0 done, 2 usage, 4 network or disk, 7 neither curl nor wget, 8 a sum that does not fit.

set -euo pipefail

cifar=https://www.cs.toronto.edu/~kriz
svhn=http://ufldl.stanford.edu/housenumbers  # has no HTTPS: the sums alone vouch for these files
declare -A sums=(  # SHA-256
  # Published in MLDatasets.jl; the authors' page, cs.toronto.edu/~kriz/cifar.html, has the MD5
  # c32a1d4ab5d03f1284b67883e8d87530 and 03b5dce01913d631647c71ecec9e9cb8.
  [cifar-10-binary.tar.gz]=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
  [cifar-100-binary.tar.gz]=58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec
  # Published in torchvision's prototype datasets; torchvision.datasets.SVHN has the MD5
  # e26dedcc434d2e4c54c9b2d4a06d8373, eb5a983be6a315427106f1b164d9cef3, a93ce644f1a588dc4d68dda5feec44a7.
  [train_32x32.mat]=435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8
  [test_32x32.mat]=cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b
  [extra_32x32.mat]=a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3
)

say() { echo "download_data: $1" >&2; }
die() { say "$2"; exit "$1"; }  # exit code, sentence

expected_sum() {  # name
  local sum=''
  if [[ -n ${EXPUNGE_DATA_SUMS:-} ]]; then
    sum=$(awk -v name="$1" '{ sub(/.*[*\/]/, "", $NF) } $NF == name { print tolower($1); exit }' \
      "$EXPUNGE_DATA_SUMS") || die 2 "EXPUNGE_DATA_SUMS: cannot read $EXPUNGE_DATA_SUMS"
  fi
  echo "${sum:-${sums[$1]}}"
}

fits() {  # file, sum: leaves found
  found=''
  [[ ! -e $1 ]] || found=$(sha256sum < "$1" | cut -c 1-64) || die 4 "cannot read $1"
  [[ $found == "$2" ]]
}

download() {  # address, file: goes on where the file ends
  local code=0 answer='' curl_talk=-sS wget_talk=-nv
  if [[ -t 2 ]]; then curl_talk=-# wget_talk=-v; fi
  say "fetching $1"
  if command -v curl > /dev/null; then
    answer=$(curl -gfL -C - "$curl_talk" --connect-timeout 30 --speed-time 60 -w '%{http_code}' \
      -o "$2" "$1") || code=$?
    # 33: the server sends whole files only; 416: nothing lies behind the file's end. The sum decides.
    [[ $code != 33 && $answer != 416 ]] || return 0
  else
    wget -c "$wget_talk" --tries=1 --timeout=60 -O "$2" "$1" || code=$?
  fi
  ((code != 0)) || return 0
  [[ -s $2 ]] || rm -f "$2"
  die 4 "cannot fetch $1 into $2; the same call again goes on where this one stopped"
}

fetch() {  # address up to the name, folder, name
  local address=${EXPUNGE_DATA_MIRROR:-$1} file=$2/$3 part=$2/$3.part expected found what=''
  expected=$(expected_sum "$3")
  address=${address%/}/$3
  mkdir -p "$2" || die 4 "cannot make the folder $2"
  if fits "$file" "$expected"; then return; fi
  # Another program may have left half a file under the whole one's name.
  [[ ! -e $file ]] || mv -f "$file" "$part" || die 4 "cannot rename $file"
  if [[ -s $part ]] && ! fits "$part" "$expected"; then
    download "$address" "$part"
    if ! fits "$part" "$expected"; then
      say "$part was no beginning of $3: once more, from the first byte"
      rm -f "$part"
    fi
  fi
  [[ -s $part ]] || download "$address" "$part"
  if ! fits "$part" "$expected"; then
    if grep -aqiE '<(!doctype )?html' <(head -c 1024 "$part"); then what=' and is an HTML page'; fi
    rm -f "$part"
    die 8 "$file: what came has the SHA-256 $found, expected $expected$what; it is removed"
  fi
  mv -f "$part" "$file" || die 4 "cannot rename $part"
}

get_cifar() {  # set, archive, folder in it
  fetch $cifar "$dir" "$2"
  if [[ ! -e $dir/$3 ]]; then  # renamed when whole: where it is there, it is whole
    temporary=$(mktemp -d "$dir/.extract.XXXXXX") || die 4 "cannot write to $dir"
    trap 'rm -rf "$temporary"' EXIT
    # From stdin: tar takes a name with a colon for another machine's.
    tar -xzf - --no-same-owner -C "$temporary" < "$dir/$2" || die 4 "cannot extract $dir/$2"
    [[ -d $temporary/$3 ]] || die 8 "$dir/$2: holds no folder $3"
    mv -T "$temporary/$3" "$dir/$3" || die 4 "cannot rename $temporary/$3"
    rm -rf "$temporary"
  fi
  ready "$1" "$dir/$3"
}

ready() {  # set, path, options of its own
  echo "$2"
  say "next: expunge data prepare $(printf %q "$2")${3:-} --name $1 --out $1.epk"
}

get() {  # set
  local part
  case $1 in
    cifar10) get_cifar "$1" cifar-10-binary.tar.gz cifar-10-batches-bin ;;
    cifar100) get_cifar "$1" cifar-100-binary.tar.gz cifar-100-binary ;;
    svhn)
      for part in train test; do fetch $svhn "$dir/svhn" ${part}_32x32.mat; done
      ready "$1" "$dir/svhn"
      ;;
    svhn-extra)
      fetch $svhn "$dir/svhn" extra_32x32.mat
      ready "$1" "$dir/svhn/extra_32x32.mat" ' --test-fraction 0.1'
      ;;
    all) for part in cifar10 cifar100 svhn svhn-extra; do get $part; done ;;
    *) die 2 "'$1' is no set, expected cifar10, cifar100, svhn, svhn-extra or all" ;;
  esac
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit
fi
dir=${2-datasets}
if (($# < 1 || $# > 2)) || [[ $1 == -* || $dir == -* || -z $dir ]]; then
  die 2 "expected SET [DIR], see tools/download_data.sh --help"
fi
command -v curl wget > /dev/null ||
  die 7 "neither curl nor wget is here; Debian and Ubuntu have the package curl: apt-get install curl"
dir=${dir%/}
get "$1"
