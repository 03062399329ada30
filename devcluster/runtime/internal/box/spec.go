// Package box is a container from its own side: how one process of this machine gets a view of the
// files, the processes and the rights that the Pod asked for, and who looks after it from then on.
//
// A box has one resident process of this program, its init. The init builds the root, starts the
// command as its child, reaps what the command leaves behind, writes the log, runs further commands
// (exec), passes a terminal on (attach) and writes down how the command ended. It needs nobody: the
// runtime may die and come back, and talks to it again over the box's socket.
//
// The command is therefore not process 1 of its box but its child, exactly as with `docker run --init`
// (tini): orphans are reaped, and a signal means to it what it means to any process.
//
// The runtime decides (package cri), a box executes: no Kubernetes types and no defaults in here.
package box

// Spec is all a box is told.
type Spec struct {
	// Hostname becomes the box's own; empty means the machine's.
	Hostname string
	// Folder is the box's place on the machine, with room for its writable layer.
	Folder string
	// Layer says what the writable layer is made of.
	Layer Layer
	// UserXattr is set where overlays are mounted inside a user namespace.
	UserXattr bool
	// Show lists folders of the machine that the command finds at their own paths, whatever closed
	// or hidden folder they lie in.
	Show []string
	// Mounts are the volumes and single files and devices, in no particular order.
	Mounts []Mount
	// Privileged gives the machine's devices and a writable /sys.
	Privileged bool
	// ReadOnlyRoot makes everything read-only that is not a volume.
	ReadOnlyRoot bool
	// MaskedPaths read as empty, ReadOnlyPaths cannot be written.
	MaskedPaths, ReadOnlyPaths []string
	// ShmBytes is the size of /dev/shm; 0 means the kernel's own limit.
	ShmBytes int64
	// Users, if not nil, puts the box into a user namespace with this mapping.
	Users *Users
	// PID says whose processes the box sees.
	PID PIDMode
	// Pause makes a box without a root of its own and without a command: it only holds and reaps
	// the process namespace that the containers of a Pod share.
	Pause bool

	Process Process

	// Inner is the second step of a box with a user namespace; see build.go.
	Inner bool
}

// Layer is a way to keep what a container writes outside its volumes away from the machine.
type Layer string

// The layers, best first. What the machine allows is found out by Probe.
const (
	// LayerDisk is an overlay whose written files lie in the box's folder.
	LayerDisk Layer = "disk"
	// LayerMemory is an overlay whose written files lie in memory, for a folder that is an overlay itself.
	LayerMemory Layer = "memory"
	// LayerNone shows the machine's own folders, as they are.
	LayerNone Layer = "none"
)

// PIDMode says whose processes a box sees.
type PIDMode string

// The modes.
const (
	// PIDOwn is a process namespace of the box's own.
	PIDOwn PIDMode = "own"
	// PIDJoined is the namespace of another box; the runtime starts the init inside it.
	PIDJoined PIDMode = "joined"
	// PIDMachine is the machine's.
	PIDMachine PIDMode = "machine"
)

// Mount puts a file or folder of the machine into the box.
type Mount struct {
	Host, Path        string
	ReadOnly          bool
	RecursiveReadOnly bool
	Propagation       Propagation
	// Users maps the owners of the files, where the kernel can.
	Users *Users
	// Optional is for what some machines lack.
	Optional bool
}

// Propagation is the CRI's mount propagation.
type Propagation int

// The propagations.
const (
	Private Propagation = iota
	HostToContainer
	Bidirectional
)

// Users is the mapping of a user namespace.
type Users struct{ UIDs, GIDs []IDRange }

// IDRange maps Size identities from Container in the namespace to Host outside.
type IDRange struct{ Container, Host, Size int }

// Process is the command of a box.
type Process struct {
	Argv []string
	Env  []string
	Dir  string
	// Image only serves the words of an error.
	Image string
	TTY   bool
	// Stdin keeps the command's input open for clients that attach; StdinOnce closes it after the first.
	Stdin, StdinOnce bool
	// OOMScoreAdj is the kernel's preference when memory runs out; it can only be raised.
	OOMScoreAdj int
	Identity    Identity
}

// Identity is who the command is and what it may do.
type Identity struct {
	UID, GID int
	Groups   []int
	// Bounding holds the capabilities that the command and its children can ever have.
	Bounding []int
	// Ambient holds those that also a user other than root has from the start.
	Ambient    []int
	NoNewPrivs bool
	// Named is for machines where the user namespace has one user only: a command that asks for another gets a
	// user namespace of its own, in which this one user bears the number that was asked for.
	Named bool
}

// Exit is how a command ended.
type Exit struct {
	Code int
	// At is in nanoseconds since 1970.
	At int64
}

// Killed is the exit code of a command that was killed, or of which nothing else is known.
const Killed = 137
