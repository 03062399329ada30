package box

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A terminal is made among the box's own (/dev/pts of its own), so that the command can ask for its name, and
// belongs to whom the command is.

func openTerminal(size *Size, owner Identity) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "terminal")
	defer func() {
		if err != nil {
			_ = master.Close()
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlock a terminal: %w", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, nil, fmt.Errorf("open a terminal's other side: %w", errno)
	}
	slave = os.NewFile(peer, "terminal")
	if isMapped("uid", owner.UID) {
		if err := unix.Fchown(int(peer), owner.UID, -1); err != nil && !isUnsupported(err) {
			_ = slave.Close()
			return nil, nil, fmt.Errorf("give a terminal to user %d: %w", owner.UID, err)
		}
	}
	resize(master, size)
	return master, slave, nil
}

// resize tells a terminal its size; a terminal that is gone does not care.
func resize(master *os.File, size *Size) {
	if size == nil || master == nil {
		return
	}
	_ = unix.IoctlSetWinsize(descriptor(master), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
}
