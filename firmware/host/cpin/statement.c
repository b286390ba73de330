//go:build firmware && cgo

#include "../../core/statement.c"
