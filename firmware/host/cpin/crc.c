//go:build firmware && cgo

#include "../../core/crc.c"
