#compdef pinfold
# Completes pinfold in zsh: commands, flags and their values; files where it may be anything.
_pinfold() {
	local -a candidates
	candidates=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "${candidates[*]}" ]]; then
		compadd -- "${candidates[@]}"
	else
		_files
	fi
}
compdef _pinfold pinfold
