//go:build firmware && cgo

#include "../../firmware/core/crypto.c"
