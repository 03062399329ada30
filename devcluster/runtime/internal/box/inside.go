package box

// Inside lives the life of a process of a box if the arguments say that this is one, and says so. The program that
// uses this package calls it before anything else.
func Inside(args []string) bool {
	switch {
	case len(args) == 1 && args[0] == "init":
		Main()
	case len(args) == 1 && args[0] == "hold":
		Hold()
	case len(args) == 2 && args[0] == "probe":
		ProbeMain(args[1])
	default:
		return false
	}
	return true
}
