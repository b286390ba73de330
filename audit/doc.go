// Package audit is for those who trust neither the operators nor the services: it writes the log of one Games to an
// archive and reads it back, and re-runs the folds over it to compare. The archive's bytes are those of docs/archive.md.
package audit
