// Package multicall picks one of several programs that live in the same file.
//
// The rule is busybox's: called by the name of a program (usually through a symbolic link) it is that
// program; called by any other name the first argument is the program. So `kubectl get pods` works
// through a link named kubectl, and `kube kubectl get pods` without one. The chosen program sees
// arguments as if it had been started alone.
package multicall

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A Program is one of the programs in the file.
type Program struct {
	// Name is the name it is called by.
	Name string
	// Summary says in a few words what it is; shown in the usage.
	Summary string
	// Run runs it to its end and returns its exit code.
	Run func() int
}

// Table lists the programs, in the order in which the usage shows them.
type Table []Program

// UsageError says that no program could be chosen, and lists those there are.
type UsageError struct {
	// Problem is what was wrong with the call.
	Problem string
	// Program is the name this file was called by.
	Program string
	table   Table
}

// Error returns the problem and the usage, on several lines.
func (e *UsageError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nusage: %s PROGRAM [flags], or a symbolic link named PROGRAM\n\n", e.Program, e.Problem, e.Program)
	for _, p := range e.table {
		fmt.Fprintf(&b, "  %-24s  %s\n", p.Name, p.Summary)
	}
	fmt.Fprintf(&b, "\n%s PROGRAM --help lists the flags of one.", e.Program)
	return b.String()
}

// Select returns the program that argv asks for, and the arguments it shall see (its own name first).
func (t Table) Select(argv []string) (Program, []string, error) {
	called := "kube"
	if len(argv) > 0 {
		called = filepath.Base(argv[0])
	}
	if p, ok := t.find(called); ok {
		return p, argv, nil
	}
	if len(argv) < 2 {
		return Program{}, nil, &UsageError{Problem: "which program?", Program: called, table: t}
	}
	if p, ok := t.find(argv[1]); ok {
		return p, argv[1:], nil
	}
	return Program{}, nil, &UsageError{Problem: fmt.Sprintf("there is no program %q", argv[1]), Program: called, table: t}
}

func (t Table) find(name string) (Program, bool) {
	for _, p := range t {
		if p.Name == name {
			return p, true
		}
	}
	return Program{}, false
}
