package main

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// addressFlags are the flags that are HOST:PORT, or several with commas between.
var addressFlags = []string{"listen", "tap-listen", "rewards-listen", "steps-listen", "admin", "gateway", "tap", "rewards", "steps"}

// checkAddresses returns an error unless all addresses of a command line are such.
func checkAddresses(command *kong.Context) error {
	for _, f := range command.Flags() {
		if !slices.Contains(addressFlags, f.Name) {
			continue
		}
		var all []string
		switch value := command.FlagValue(f).(type) {
		case string:
			all = strings.Split(value, ",")
			if value == "" { // none, as of --admin
				all = nil
			}
		case []string:
			all = value
		}
		for _, address := range all {
			if err := checkAddress("--"+f.Name, strings.TrimSpace(address)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAddress returns the error of a flag that is to be HOST:PORT.
func checkAddress(flag, address string) error {
	host, port, err := net.SplitHostPort(address)
	if n, nerr := strconv.Atoi(port); err != nil || nerr != nil || n < 0 || n > 65535 || host == "" {
		return fmt.Errorf("%s %.80q: want HOST:PORT, with a port from 0 to 65535", flag, address)
	}
	return nil
}

// shortened is an error in whose text nothing that was given is longer than 80 characters, whoever wrote it: the parser of
// flags and the system give back all.
type shortened struct{ error }

// Unwrap returns the error.
func (e shortened) Unwrap() error { return e.error }

// long is a word that is no word of ours.
var long = regexp.MustCompile(`\S{300,}`)

// Error implements error.
func (e shortened) Error() string {
	return long.ReplaceAllStringFunc(e.error.Error(), func(word string) string {
		runes := []rune(word)
		return fmt.Sprintf("%s... (%d characters)", string(runes[:80]), len(runes))
	})
}
