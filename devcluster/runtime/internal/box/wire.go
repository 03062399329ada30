package box

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The runtime and an init talk over a Unix socket in the box's folder, one connection per matter:
// the runtime sends a request, with open files beside it where there are any; the init answers
// with one or more replies. A message is a length of four bytes and JSON. A connection that ends early
// means that the other side is gone: an exec is then killed, an attach forgotten.

// maxMessage bounds what is read at once: a command line may have some megabytes.
const maxMessage = 16 << 20

type operation string

const (
	opWatch  operation = "watch"  // answer once the command has ended
	opExec   operation = "exec"   // run another command
	opAttach operation = "attach" // join input and output
	opSignal operation = "signal" // signal the command
	opKill   operation = "kill"   // kill everything
	opReopen operation = "reopen" // go on in another log file
	opResize operation = "resize" // on the connection of an exec or attach
)

type request struct {
	Op     operation
	Argv   []string `json:",omitempty"`
	TTY    bool     `json:",omitempty"`
	Signal int      `json:",omitempty"`
	Size   *Size    `json:",omitempty"`
	// In, Out and Err say which of the three streams come as files, in this order.
	In, Out, Err bool `json:",omitempty"`
}

type reply struct {
	Error   string `json:",omitempty"`
	Started bool   `json:",omitempty"`
	Exit    *Exit  `json:",omitempty"`
}

// Size is that of a terminal.
type Size struct{ Width, Height uint16 }

func send(conn *net.UnixConn, message any, files ...*os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = descriptor(f)
		}
		rights = unix.UnixRights(fds...)
	}
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := conn.WriteMsgUnix(length, rights, nil); err != nil {
		return err
	}
	_, err = conn.Write(body)
	return err
}

func receive(conn *net.UnixConn, message any) ([]*os.File, error) {
	length := make([]byte, 4)
	rights := make([]byte, unix.CmsgSpace(4*4))
	n, rightsLength, _, _, err := conn.ReadMsgUnix(length, rights)
	if err != nil {
		return nil, err
	}
	files, err := received(rights[:rightsLength])
	if err != nil {
		return nil, err
	}
	err = func() error {
		if n == 0 {
			return io.EOF
		}
		if _, err := io.ReadFull(conn, length[n:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(length)
		if size > maxMessage {
			return fmt.Errorf("message of %d bytes is larger than %d", size, maxMessage)
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		return json.Unmarshal(body, message)
	}()
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func received(rights []byte) ([]*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			closeAll(files)
			return nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// ask sends a request that has one reply.
func ask(conn *net.UnixConn, r request, files ...*os.File) error {
	if err := send(conn, r, files...); err != nil {
		return err
	}
	var answer reply
	if _, err := receive(conn, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// descriptor gives a file's number and leaves the file as it is; Fd() would make it block.
func descriptor(f *os.File) int {
	number := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	return number
}

// blocking gives a file's number for a process that knows nothing of files that do not block.
func blocking(f *os.File) (int, error) {
	fd := descriptor(f)
	return fd, unix.SetNonblock(fd, false)
}
