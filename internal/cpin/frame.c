//go:build firmware && cgo

#include "../../firmware/core/frame.c"
