# Completes pinfold in fish: commands, flags and their values; files where it may be anything.
function __pinfold_complete
	set -l words (commandline -opc) (commandline -ct)
	$words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c pinfold -a '(__pinfold_complete)'
