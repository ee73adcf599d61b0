#!/usr/bin/env bash
# tools/download_data.sh against a server of our own on the loopback: small stand-ins under the data sets' names.
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../tools/download_data.sh")
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fetchers=()
for tool in curl wget; do
  if command -v $tool > /dev/null; then fetchers+=("$tool"); fi
done
if ! command -v python3 > /dev/null || ((${#fetchers[@]} == 0)); then
  echo "SKIPPED: no python3 for the server, or neither curl nor wget"
  exit 77
fi

# The first folder of a path is how it is served: plain, cut (a program's first answer ends halfway), noranges,
# html, nothing. The log has a line per request: path, then what it asks for.
cat > server.py << 'END'
import http.server, os, signal, socketserver

class Handler(http.server.BaseHTTPRequestHandler):
    cut = set()

    def do_GET(self):
        asked = self.headers.get('Range', 'all')
        with open('log', 'a') as log:
            log.write(f'{self.path} {asked}\n')
        mode, name = self.path.strip('/').split('/')
        if mode == 'html':
            return self.answer(200, b'<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n')
        if mode == 'nothing':
            return self.answer(404, b'<html>no such file</html>')
        body = open('www/' + name, 'rb').read()
        begin = int(asked[len('bytes='):-1]) if asked != 'all' and mode != 'noranges' else 0
        if begin >= len(body):
            return self.answer(416, b'', {'Content-Range': f'bytes */{len(body)}'})
        size = len(body) - begin
        if mode == 'cut' and self.headers['User-Agent'] not in self.cut:
            self.cut.add(self.headers['User-Agent'])
            size //= 2
        range_ = {'Content-Range': f'bytes {begin}-{len(body) - 1}/{len(body)}'} if begin else {}
        self.answer(206 if begin else 200, body[begin:], range_, size)

    def answer(self, code, body, headers={}, send=None):
        self.send_response(code)
        for key, value in {'Content-Length': len(body), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body[:send])

    def log_message(self, *_):
        pass

signal.alarm(120)  # where the test was killed
with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler) as server:
    with open('port.new', 'w') as file:
        file.write(str(server.server_address[1]))
    os.rename('port.new', 'port')
    server.serve_forever()
END
python3 server.py > server.out 2>&1 < /dev/null &
server=$!
inherited=()
eval "inherited=($(trap -p EXIT))"  # trap -- COMMAND EXIT
trap 'kill $server 2> /dev/null || true; eval "${inherited[2]}"' EXIT
for ((i = 0; i < 100; ++i)); do
  if [[ -s port ]]; then break; fi
  sleep 0.1
done
[[ -s port ]] || { cat server.out >&2; exit 1; }

mkdir www cifar-10-batches-bin cifar-100-binary other
seq 20000 > cifar-10-batches-bin/data_batch_1.bin
seq 3 20000 > cifar-100-binary/train.bin
tar -czf www/cifar-10-binary.tar.gz cifar-10-batches-bin
tar -czf www/cifar-100-binary.tar.gz cifar-100-binary
for part in train test extra; do seq 1000 | sed "s/^/$part /" > www/${part}_32x32.mat; done
(cd www && sha256sum -- *) > sums
archive=cifar-10-binary.tar.gz
size=$(stat -c %s www/$archive)

# Folders for PATH with one fetcher, or none.
needed=(bash awk cat cut env grep gzip head mkdir mktemp mv rm sed sha256sum tar)
for tool in none "${fetchers[@]}"; do
  mkdir only-"$tool"
  for command in "${needed[@]}"; do ln -s "$(type -P "$command")" only-"$tool"; done
  [[ $tool == none ]] || ln -s "$(type -P "$tool")" only-"$tool"
done

expunge_program=$bin
bin=$script
export EXPUNGE_DATA_SUMS=$dir/sums no_proxy=127.0.0.1 HOME=$dir  # no .curlrc, no .wgetrc
gives() {  # name, how the server serves, then as expect
  : > log
  EXPUNGE_DATA_MIRROR=http://127.0.0.1:$(< port)/$2 PATH=$dir/only-$tool expect "$tool: $1" "${@:3}"
}
asked() {  # lines of the log, without the served folder
  check "$tool: ... asking for ${*:-nothing}" cmp -s <(sed 's,^/[a-z]*/,,' log) <(printf '%s' "${@/%/$'\n'}")
}
holds() {  # folder, its entries in order
  local found
  found=$(cd "$1" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | xargs)
  shift
  check "$tool: ... leaving ${*:-nothing}" test "$found" = "$*"
}

for tool in "${fetchers[@]}"; do
  mkdir "$tool"
  at="$tool/meine Dätén: 数据"
  gives "a data set" plain 0 'next: expunge data prepare .* --name cifar10 --out cifar10.epk' cifar10 "$at"
  asked "$archive all"
  check "$tool: the path alone on stdout" test "$(< out)" = "$at/cifar-10-batches-bin"
  holds "$at" cifar-10-batches-bin cifar-10-batches-bin/data_batch_1.bin $archive
  same "$tool: unpacked" "$at/cifar-10-batches-bin/data_batch_1.bin" cifar-10-batches-bin/data_batch_1.bin
  hint=$(sed -n 's/.*next: expunge//p' err)
  status=0
  eval "\"$expunge_program\" $hint" > out 2> err || status=$?
  check "$tool: expunge takes the command and refuses the stand-in" \
    test $status = 3 -a "$(grep -c 'Dätén.*data_batch' err)" = 1
  touch stamp
  gives "the same call again" plain 0 'next: .*/cifar-10-batches-bin' cifar10 "$at/"
  asked
  check "$tool: ... touching nothing" test -z "$(find "$at" -newer stamp)"

  at=$tool/cut
  gives "a connection lost halfway" cut 4 '^download_data: cannot fetch .*goes on where' cifar10 "$at"
  holds "$at" $archive.part
  check "$tool: half of it is kept" cmp -n $((size / 2)) "$at/$archive.part" www/$archive
  gives "it goes on" cut 0 'next: ' cifar10 "$at"
  asked "$archive bytes=$((size / 2))-"
  check "$tool: it is whole" test -s "$at/cifar-10-batches-bin/data_batch_1.bin"

  at=$tool/stale
  stale() { mkdir -p "$at" && rm -rf "${at:?}"/* && head -c "$1" /dev/zero > "$at/$archive.part"; }
  stale 100
  gives "the start of something else" plain 0 'from the first byte' cifar10 "$at"
  asked "$archive bytes=100-" "$archive all"
  same "$tool: the right one replaces it" "$at/$archive" www/$archive
  stale $((size + 5))
  gives "more than there is" plain 0 'from the first byte' cifar10 "$at"
  asked "$archive bytes=$((size + 5))-" "$archive all"
  stale 100
  gives "a server without ranges" noranges 0 'next: ' cifar10 "$at"
  same "$tool: the right one replaces it too" "$at/$archive" www/$archive
  stale 0
  cp www/$archive "$at/$archive.part"
  gives "all there but for its name" plain 0 'next: ' cifar10 "$at"
  asked
  head -c 70 www/$archive > "$at/$archive"
  gives "half a file under the whole one's name" plain 0 'next: ' cifar10 "$at"
  asked "$archive bytes=70-"

  at=$tool/wrong
  EXPUNGE_DATA_SUMS=$dir/wrong
  printf '%064d  %s\n' 7 $archive > wrong
  found=$(sha256sum < www/$archive | cut -c 1-64)
  gives "a wrong sum" plain 8 "^download_data: $at/$archive: .*$found, expected 0+7; it is removed" cifar10 "$at"
  asked "$archive all"
  holds "$at"
  stale 100
  gives "a wrong sum after a stale start" plain 8 "$found, expected 0+7" cifar10 "$at"
  asked "$archive bytes=100-" "$archive all"
  holds "$at"
  EXPUNGE_DATA_SUMS=$dir/sums
  gives "a page instead of the data" html 8 'HTML' cifar10 "$at"
  holds "$at"
  gives "no such file" nothing 4 "^download_data: cannot fetch http:.*$archive" cifar10 "$at"
  holds "$at"
done

gives "CIFAR-100" plain 0 'next: expunge data prepare c100/cifar-100-binary --name cifar100 --out cifar100.epk' \
  cifar100 c100
gives "SVHN" plain 0 'next: expunge data prepare d/svhn --name svhn --out svhn.epk' svhn d
holds d svhn svhn/test_32x32.mat svhn/train_32x32.mat
gives "everything" plain 0 'prepare d/svhn/extra_32x32.mat --test-fraction 0.1 --name svhn-extra' all d
asked "cifar-10-binary.tar.gz all" "cifar-100-binary.tar.gz all" "extra_32x32.mat all"
printf 'd/%s\n' cifar-10-batches-bin cifar-100-binary svhn svhn/extra_32x32.mat > paths
same "four paths on stdout" out paths
gives "without DIR" plain 0 'next: .* datasets/svhn ' svhn

tar -czf www/cifar-100-binary.tar.gz other
sha256sum www/* > sums
gives "another folder in the archive" plain 8 'holds no folder cifar-100-binary' cifar100 other
holds other cifar-100-binary.tar.gz
: > file
gives "a file in the place of DIR" plain 4 'cannot make the folder file' cifar10 file

# Without sums of a mirror's own, the published ones hold.
cp www/cifar-10-binary.tar.gz www/cifar-100-binary.tar.gz
for set in cifar10:c4a38c50 cifar100:58a81ae1 svhn:435e94d6 svhn-extra:a133a4be; do
  EXPUNGE_DATA_SUMS='' gives "the published sum, ${set%:*}" plain 8 "expected ${set#*:}[0-9a-f]{56};" "${set%:*}" p
done
mkdir -p q/svhn
cp www/train_32x32.mat q/svhn
EXPUNGE_DATA_SUMS=$dir/one
grep train sums > one
gives "sums of some files only" plain 8 'test_32x32.mat: .* expected cdce80df[0-9a-f]{56};' svhn q
asked "test_32x32.mat all"
EXPUNGE_DATA_SUMS=$dir/none gives "no file of sums" plain 2 'cannot read .*/none' svhn r
EXPUNGE_DATA_SUMS=$dir/sums

: > log
expect "an unknown set" 2 "^download_data: 'cifar11' is no set, expected cifar10" cifar11
expect "no set" 2 '^download_data: expected SET'
expect "an unknown option" 2 '^download_data: expected SET' --fast
expect "a folder that looks like an option" 2 '^download_data: expected SET' svhn --fast
expect "too much" 2 '^download_data: expected SET' svhn a b
expect "help" 0 'EXPUNGE_DATA_MIRROR' --help
check "on stdout alone" test -s out -a ! -s err
tool=none
gives "neither curl nor wget" plain 7 'apt-get install curl' svhn
check "none of them asks for anything" test ! -s log

kill $server
wait $server 2> /dev/null || true
for tool in "${fetchers[@]}"; do
  mkdir -p "$tool/down"
  head -c 100 www/$archive > "$tool/down/$archive.part"
  gives "a server that is down" plain 4 '^download_data: cannot fetch http:' cifar10 "$tool/down"
  check "$tool: the part stays" cmp -n 100 "$tool/down/$archive.part" www/$archive
  gives "down from the start" plain 4 '^download_data: cannot fetch http:' svhn "$tool/down"
  holds "$tool/down" $archive.part svhn
done
finish
