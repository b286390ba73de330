//go:build firmware && cgo

#include "../../core/crypto.c"
