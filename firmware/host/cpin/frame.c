//go:build firmware && cgo

#include "../../core/frame.c"
