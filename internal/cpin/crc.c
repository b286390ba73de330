//go:build firmware && cgo

#include "../../firmware/core/crc.c"
