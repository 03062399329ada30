package box

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An environment and its interpreter often lie below a home that is closed to everyone else, and the
// command may well be someone else (uid 1000 in a box of root's). What an image shows therefore appears at its
// own absolute path, so that shebangs, links and kernel specs stay right, while every closed folder on the way
// is replaced by an open one that holds nothing else of it.

// maxLinks bounds the symbolic links on the way to a shown folder, as the kernel does.
const maxLinks = 40

// reveal makes a folder or file of the machine appear at its own path.
func (b *builder) reveal(path string, links int) error {
	if links > maxLinks {
		return fmt.Errorf("show %s: too many symbolic links", path)
	}
	parts := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	current := "/"
	for i, part := range parts {
		next := filepath.Join(current, part)
		target := filepath.Join(b.root, next)
		info, err := os.Lstat(next)
		if err != nil {
			return fmt.Errorf("the image shows %s: %w", path, err)
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return b.follow(next, filepath.Join(parts[i+1:]...), links)
		}
		last := i == len(parts)-1
		if err := b.open(next, target, info.IsDir(), last); err != nil {
			return err
		}
		if last && info.IsDir() {
			return b.layer(next, target)
		}
		if last {
			return b.still(next, target)
		}
		current = next
	}
	return nil
}

// follow recreates a link on the way and goes on where it leads.
func (b *builder) follow(link, rest string, links int) error {
	to, err := os.Readlink(link)
	if err != nil {
		return err
	}
	target := filepath.Join(b.root, link)
	if _, err := os.Lstat(target); os.IsNotExist(err) {
		if err := os.Symlink(to, target); err != nil {
			return err
		}
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(link), to)
	}
	return b.reveal(filepath.Join(to, rest), links+1)
}

// open makes sure that the way to what is shown exists in the root and can be walked by everyone.
func (b *builder) open(path, target string, dir, last bool) error {
	if _, err := os.Lstat(target); err != nil {
		b.opened[path] = true
		return create(target, dir)
	}
	if last || !isClosed(path) || b.opened[path] {
		return nil
	}
	if _, ok := fresh[path]; ok {
		return nil
	}
	b.opened[path] = true
	return b.cover(target, 0o755)
}

// isHidden says whether a path lies in a folder that a box has of its own.
func isHidden(path string) bool {
	for dir := range fresh {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}
