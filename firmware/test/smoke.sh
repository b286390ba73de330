#!/bin/bash
# A pin answers its phone, natively and under QEMU, and two of them that meet each hold both halves. The Go tests do all
# this much more closely; this needs no more than socat.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
started=()
finish() {
	((${#started[@]})) && kill "${started[@]}" 2>/dev/null || true
	wait
	rm -rf "$dir"
}
trap finish EXIT

fail() {
	echo "smoke: $*" >&2
	exit 1
}

# frame HEX: the frame of a message, as in core/frame.h. These messages hold nothing to escape but, perhaps, their CRC.
frame() {
	local payload crc i
	payload=$(sed 's/../\\x&/g' <<<"$1")
	# gzip ends with the CRC, little-endian, and the length.
	crc=$(printf "$payload" | gzip -c | tail -c8 | head -c4 | od -An -tx1 -v)
	printf '\x7e'"$payload"
	for i in $(tac -s ' ' <<<"${crc# } " | tr '\n' ' '); do
		case $i in
		7e | 7d) printf "\\x7d\\x$(printf %02x $((0x$i ^ 0x20)))" ;;
		*) printf "\\x$i" ;;
		esac
	done
	printf '\x7e'
}

# ask SOCKET HEX WORD TIMES: asks until the word comes so many times in the answer.
ask() {
	local try
	for try in $(seq 60); do
		if [ -S "$1" ] && frame "$2" | timeout 5 socat -t0.3 - "UNIX-CONNECT:$1" >"$dir/answer" 2>/dev/null &&
			grep -ao "$3" "$dir/answer" | wc -l | grep -qx "$4"; then
			return
		fi
		sleep 0.2
	done
	fail "$1 never answered $2 with $4 times $3"
}

hello=08011200     # request 1, Hello
fetch=080222020820 # request 2, Fetch up to 32

native() { # NAME PEER
	build/native/pin --quiet --flash "$dir/$1.flash" --phone "listen:$dir/$1.phone" --peer "$2" \
		--inject "listen:$dir/$1.inject" &
	started+=($!)
}

emulated() { # NAME PEER
	head -c 131072 /dev/zero | tr '\0' '\377' >"$dir/$1.flash"
	head -c 32 /dev/urandom >"$dir/$1.seed"
	qemu-system-arm -M mps2-an386 -display none -monitor none -nodefaults -kernel build/m4/pin.elf \
		-device "loader,file=$dir/$1.flash,addr=0x21000000,force-raw=on" \
		-device "loader,file=$dir/$1.seed,addr=0x21020000,force-raw=on" \
		-chardev "socket,id=phone,path=$dir/$1.phone,server=on,wait=off" -serial chardev:phone \
		-chardev "socket,id=peer,$2" -serial chardev:peer \
		-chardev null,id=display -serial chardev:display \
		-chardev "socket,id=inject,path=$dir/$1.inject,server=on,wait=off" -serial chardev:inject \
		-chardev "file,id=log,path=$dir/$1.log" -serial chardev:log &
	started+=($!)
}

near() { # NAME
	frame 4e01 | timeout 5 socat -t0.1 - "UNIX-CONNECT:$dir/$1.inject" >/dev/null
}

# meet NAME NAME
meet() {
	local pin
	for pin in "$@"; do
		ask "$dir/$pin.phone" $hello 0.1.0 1
	done
	for pin in "$@"; do
		near "$pin"
	done
	for pin in "$@"; do
		ask "$dir/$pin.phone" $fetch PFH1 2
		echo "$pin: both halves"
	done
}

native one "listen:$dir/native.peer"
native two "$dir/native.peer"
meet one two
emulated three "path=$dir/qemu.peer,server=on,wait=off"
for try in $(seq 50); do
	[ -S "$dir/qemu.peer" ] && break
	sleep 0.1
done
emulated four "path=$dir/qemu.peer"
meet three four
sleep 2
cat "$dir/three.log"
stack=$(awk '$1 == "stack" { used = $2 } END { print used + 0 }' "$dir/three.log")
[ "$stack" -gt 0 ] && [ "$stack" -lt 10240 ] || fail "the stack went down to $stack of 12288 bytes, 2048 must stay free"
