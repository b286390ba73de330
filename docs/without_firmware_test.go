//go:build !firmware

package docs_test

const withFirmware = false
