# Completes pinfold in bash: commands, flags and their values; files where it may be anything.
_pinfold() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:1:COMP_CWORD}") IFS=$'\n'
	local n=${#words[@]}
	if [[ $cur == = ]]; then # bash parts --flag=value into three words
		words=("${words[@]:0:n-1}" "")
		cur=
	elif [[ $n -gt 2 && ${words[n-2]} == = ]]; then
		words=("${words[@]:0:n-2}" "$cur")
	fi
	COMPREPLY=($("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null))
}
complete -o default -F _pinfold pinfold
