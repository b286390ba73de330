//go:build firmware && cgo

#include "../../firmware/core/statement.c"
