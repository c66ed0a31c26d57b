# Compares corpus with what find, wc, tr, sort and uniq say, and tries what can go wrong.
#   bash check.sh SCRATCH_DIRECTORY COMMAND...      COMMAND runs corpus or corpus_facade

set -u
export LC_ALL=C
scratch=$1
shift
corpus=("$@")
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run EXIT_CODE ARGUMENT...: the output goes to $scratch/out and $scratch/err.
run() {
  local expected=$1
  shift
  timeout 100 "${corpus[@]}" "$@" >"$scratch/out" 2>"$scratch/err"
  local code=$?
  if [ $code -ne "$expected" ]; then
    fail "corpus $* ended with $code instead of $expected: $(cat "$scratch/err")"
  fi
}

# The counts of the last run, as `lines words bytes files`, and of a tree as wc and find have them.
counts() {
  awk '{ n[$1] = $2 } END { print n["lines"], n["words"], n["bytes"], n["files"] }' "$scratch/out"
}
true_counts() {
  local sums files
  sums=$(find "$1" -type f -print0 | wc --files0-from=- | tail -n 1 | awk '{ print $1 + 0, $2 + 0, $3 + 0 }')
  files=$(find "$1" -type f -printf 'x' | wc -c)
  echo "$sums $files"
}
compare_counts() {
  local got expected
  got=$(counts)
  expected=$(true_counts "$1")
  [ "$got" = "$expected" ] || fail "$2: lines words bytes files are $got, wc and find say $expected"
}

# The 20 most frequent words of a tree.  A line feed ends each file, so that the last word of one file and the first
# of the next are two.
true_words() {
  find "$1" -type f -exec sh -c 'for f; do cat "$f"; echo; done' sh {} + |
    tr -s ' \t\n\v\f\r' '\n' | grep -a '[!-~]' | sort | uniq -c | sort -k1,1nr -k2 | head -n 20 |
    awk '{ print $1, $2 }'
}
compare_words() {
  awk 'blank { print $1, $2 } /^$/ { blank = 1 }' "$scratch/out" >"$scratch/words"
  true_words "$1" >"$scratch/true_words"
  cmp -s "$scratch/words" "$scratch/true_words" ||
    fail "$2: the words differ: $(diff "$scratch/words" "$scratch/true_words")"
}

chmod -R u+rwx "$scratch" 2>/dev/null
rm -rf "$scratch"
mkdir -p "$scratch" || exit 1

# --- a real tree, whatever the number of threads ---

run 0 /usr/include
compare_counts /usr/include "/usr/include"
cp "$scratch/out" "$scratch/first"
run 0 --workers 1 --readers 1
cmp -s "$scratch/out" "$scratch/first" || fail "one worker and one reader count differently"

# --- a made tree: ties, links, odd names, binary files, words at the seams of pieces, files without a last newline ---

tree=$scratch/tree
mkdir -p "$tree/deep/er/still" "$tree/empty"
printf 'b a c b a c\nend' >"$tree/ties"
printf 'no newline at the end, end' >"$tree/deep/er/still/file"
printf 'the name has a newline\n' >"$tree/deep/new
line"
: >"$tree/nothing"
printf 'a\001b \001\002 \200\201 x\200y\240z\nq\vr\fs\rt\0u \0 end' >"$tree/binary"
awk 'BEGIN { for (i = 0; i < 60000; ++i) print "word" i % 7, "filler", "w" i % 1000 }' >"$tree/large"
head -c 262143 /dev/zero | tr '\0' 'x' | sed 's/.$/ y/' >"$tree/seam"
{ head -c 300000 /dev/zero; echo " after a word without printable characters"; } >"$tree/zeros"
{ head -c 700000 /dev/zero | tr '\0' 'l'; echo " after a long word"; } >"$tree/long"
ln -s /usr/include "$tree/link_to_directory"
ln -s ties "$tree/link_to_file"
ln -s nowhere "$tree/dangling"
ln "$tree/ties" "$tree/same_file"
mkfifo "$tree/fifo"
run 0 "$tree"
compare_counts "$tree" "the made tree"
compare_words "$tree" "the made tree"
run 0 --workers 2 --readers 3 "$tree/"
compare_words "$tree" "the made tree, other numbers"

run 0 "$tree/empty"
[ "$(counts)" = "0 0 0 0" ] || fail "an empty directory: $(counts)"

# --- what cannot be read is named and skipped ---

mkdir -p "$scratch/closed/cellar"
printf 'in the open\n' >"$scratch/closed/readable"
printf 'secret\n' >"$scratch/closed/secret"
printf 'deep\n' >"$scratch/closed/cellar/deep"
chmod 000 "$scratch/closed/secret" "$scratch/closed/cellar"
as_anyone=()
if [ -r "$scratch/closed/secret" ]; then  # root reads everything, unless it gives that up
  as_anyone=(setpriv --bounding-set=-dac_override,-dac_read_search)
fi
if "${as_anyone[@]}" test ! -r "$scratch/closed/secret" 2>/dev/null; then
  everyone=("${corpus[@]}")
  corpus=("${as_anyone[@]}" "${corpus[@]}")
  run 1 "$scratch/closed"
  corpus=("${everyone[@]}")
  [ "$(counts)" = "1 3 12 1" ] || fail "beside unreadable ones: $(counts)"
  grep -q '^unreadable 2$' "$scratch/out" || fail "unreadable ones are not counted"
  grep -q "cannot read $scratch/closed/secret: Permission denied" "$scratch/err" || fail "the file is not named"
  grep -q "cannot read $scratch/closed/cellar: Permission denied" "$scratch/err" || fail "the directory is not named"
else
  echo "skipped: this user reads everything"
fi
chmod -R u+rwx "$scratch/closed"

# --- bad arguments ---

run 2 "$scratch/missing"
grep -q 'No such file or directory' "$scratch/err" || fail "a missing directory: $(cat "$scratch/err")"
run 2 "$tree/ties"
run 2 "$tree/link_to_directory"
run 2 --workers
run 2 --workers 0
run 2 --readers 1e3
run 2 --no-such-option
run 2 "$tree" "$tree"
run 0 --help

# --- Ctrl-C: in the midst of 64 GiB of zeros, as soon as it is listened for ---

mkdir -p "$scratch/endless"
if truncate -s 64G "$scratch/endless/zeros" 2>/dev/null; then
  "${corpus[@]}" "$scratch/endless" >"$scratch/out" 2>"$scratch/err" &
  pid=$!
  for ((i = 0; i < 1000; ++i)); do
    # In one look: between fork and exec the shell's own copy blocks it too.
    blocked=$(awk '/^Name/ { name = $2 } /^SigBlk/ && name != "bash" { print $2 }' /proc/$pid/status)
    (((0x${blocked:-0} & 2) != 0)) && break
    sleep 0.01
  done
  kill -INT $pid
  wait $pid
  code=$?
  [ $code -eq 130 ] || fail "interrupted: ended with $code"
  grep -q '^interrupted: partial counts$' "$scratch/out" || fail "interrupted: not marked as partial"
  grep -q '^bytes ' "$scratch/out" || fail "interrupted: no report"
  rm -f "$scratch/endless/zeros"
else
  echo "skipped: no large files here"
fi

if [ $failures -eq 0 ]; then
  rm -rf "$scratch"
fi
exit $failures
