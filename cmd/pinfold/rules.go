package main

import (
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/file"
	"pinfold/internal/rules"
)

// readRules reads a file of rules. Its errors name the file.
func readRules(path string) (fact.Rules, error) {
	document, err := file.Read(path, rules.MaxFile)
	if err != nil {
		return fact.Rules{}, err
	}
	r, err := rules.Parse(document)
	if err != nil {
		return fact.Rules{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
