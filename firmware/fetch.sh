#!/bin/sh
# Fetches the source packages of third_party.lock, checks each byte of them, and unpacks them, patched, to
# build/third_party/<package>. Nothing of the system's apt is changed: it is asked with a configuration of its own.
#
#   DOWNLOADS       where fetched files are kept (default: build/downloads). Files that are there are not fetched again
#   DEBIAN_MIRROR   default: http://deb.debian.org
#
# Without a network, put the six files into DOWNLOADS.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lock=$here/third_party.lock
target=$here/build/third_party
downloads=${DOWNLOADS:-$here/build/downloads}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}

fail() {
	echo "fetch.sh: $*" >&2
	exit 1
}

for tool in apt-get dpkg-source sha256sum; do
	command -v "$tool" >/dev/null || fail "$tool is needed: apt-get install dpkg-dev"
done

# right FILE SHA256: whether the downloads hold that file with those bytes.
right() {
	[ -f "$downloads/$1" ] && [ "$(sha256sum <"$downloads/$1")" = "$2  -" ]
}

# complete PACKAGE: whether the downloads hold every file of the package.
complete() {
	files_of "$1" | while read -r sum file; do
		right "$file" "$sum" || exit 1
	done
}

# files_of PACKAGE: lines of sum and file.
files_of() {
	awk -v want="$1" '$1 == "package" { mine = ($2 == want) } $1 == "file" && mine { print $2, $3 }' "$lock"
}

# ask PACKAGE VERSION: fetches by apt into the downloads.
ask() {
	state=$here/build/apt
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	cat >"$state/sources.list" <<-LIST
		deb-src [signed-by=$keys] $mirror/debian bookworm main
		deb-src [signed-by=$keys] $mirror/debian-security bookworm-security main
	LIST
	cat >"$state/apt.conf" <<-CONF
		Dir::Etc::SourceList "$state/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State::Lists "$state/lists";
		Dir::Cache "$state/cache";
		APT::Sandbox::User "";
		Acquire::Retries "3";
	CONF
	# The mirror's index and its pool can be out of step for a while.
	for pause in 2 5 10 0; do
		if APT_CONFIG=$state/apt.conf apt-get -q update >"$state/log" 2>&1 &&
			(cd "$downloads" && APT_CONFIG=$state/apt.conf apt-get -q source --download-only "$1=$2") >>"$state/log" 2>&1; then
			return
		fi
		sleep "$pause"
	done
	cat "$state/log" >&2
	fail "Debian's mirror $mirror did not give the source of $1 $2, see above. Is it still in bookworm? Otherwise fetch the files named in third_party.lock from snapshot.debian.org into $downloads"
}

mkdir -p "$downloads" "$target"
awk '$1 == "package" { print $2, $3 }' "$lock" | while read -r package version; do
	complete "$package" || ask "$package" "$version"
	files_of "$package" | while read -r sum file; do
		[ -f "$downloads/$file" ] || fail "$downloads/$file is missing"
		right "$file" "$sum" || fail "$downloads/$file: its SHA-256 is not that of third_party.lock, $sum: remove it, and ask where it came from"
	done
	dsc=$(files_of "$package" | awk 'NR == 1 { print $2 }')
	rm -rf "$target/$package" "$target/$package.part"
	dpkg-source --no-copy -x "$downloads/$dsc" "$target/$package.part" >"$target/$package.log" 2>&1 || {
		cat "$target/$package.log" >&2
		fail "$dsc could not be unpacked"
	}
	mv "$target/$package.part" "$target/$package"
	echo "$package $version: checked and unpacked"
done
cp "$lock" "$target/unpacked.lock"
