package box

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

// A container's log is read by the kubelet, so it is in the kubelet's format: one line per line of output,
// with the time, the stream, a tag and the text. A line that gets too long is written in parts, tagged P, and its end
// is tagged F; a reader puts them together. Each line is one write, so that readers never see half of one,
// and a file can be exchanged between two lines without losing or doubling any.

// maxLine is where a line is parted, as containerd does.
const maxLine = 16 << 10

// backlog is how many chunks a client may lag behind before it is let go: the command must never wait
// for someone who watches it.
const backlog = 512

type logs struct {
	mu   sync.Mutex
	file *os.File
	now  func() time.Time
}

func newLogs(file *os.File) *logs { return &logs{file: file, now: time.Now} }

// reopen goes on in another file.
func (l *logs) reopen(file *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
	l.file = file
}

func (l *logs) line(stream, tag string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.now().UTC().AppendFormat(make([]byte, 0, len(text)+48), time.RFC3339Nano)
	line = append(line, ' ')
	line = append(line, stream...)
	line = append(line, ' ')
	line = append(line, tag...)
	line = append(line, ' ')
	line = append(append(line, text...), '\n')
	// A full disk loses the line: the command is not to blame and must not stall.
	_, _ = l.file.Write(line)
}

// output is one of a command's streams: it goes to the log and to whoever is attached.
type output struct {
	name    string
	logs    *logs
	rest    []byte
	mu      sync.Mutex
	clients map[*client]struct{}
}

type client struct {
	chunks chan []byte
	closed sync.Once
}

func (c *client) close() { c.closed.Do(func() { close(c.chunks) }) }

func newOutput(name string, l *logs) *output {
	return &output{name: name, logs: l, clients: map[*client]struct{}{}}
}

// copy reads until the stream ends.
func (o *output) copy(from io.Reader) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 {
			o.publish(chunk[:n])
			o.write(chunk[:n])
		}
		if err != nil {
			break
		}
	}
	if len(o.rest) > 0 {
		// What does not end in a newline is a part that nothing follows.
		o.logs.line(o.name, "P", o.rest)
		o.rest = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.clients {
		delete(o.clients, c)
		c.close()
	}
}

func (o *output) write(text []byte) {
	o.rest = append(o.rest, text...)
	for {
		end := bytes.IndexByte(o.rest, '\n')
		switch {
		case end >= 0 && end <= maxLine:
			o.logs.line(o.name, "F", o.rest[:end])
			o.rest = o.rest[end+1:]
		case len(o.rest) > maxLine:
			o.logs.line(o.name, "P", o.rest[:maxLine])
			o.rest = o.rest[maxLine:]
		default:
			o.rest = append([]byte(nil), o.rest...)
			return
		}
	}
}

func (o *output) publish(text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.clients {
		select {
		case c.chunks <- bytes.Clone(text):
		default:
			delete(o.clients, c)
			c.close()
		}
	}
}

// join sends what comes from now on to a file until either ends, and then closes it.
func (o *output) join(to *os.File, left func()) (leave func()) {
	c := &client{chunks: make(chan []byte, backlog)}
	o.mu.Lock()
	o.clients[c] = struct{}{}
	o.mu.Unlock()
	leave = func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.clients, c)
		c.close()
	}
	go func() {
		defer left()
		defer to.Close()
		for chunk := range c.chunks {
			if _, err := to.Write(chunk); err != nil {
				leave()
				return
			}
		}
	}()
	return leave
}
