package simdisk

import "slices"

// copies remembers what a Clone has copied already, so that shared inodes stay shared in the copy.
// Its maps are looked up and never ranged over.
type copies struct {
	inodes   map[*inode]*inode
	overlays map[*Overlay]*Overlay
}

func newCopies(overlays int) *copies {
	return &copies{
		inodes:   make(map[*inode]*inode),
		overlays: make(map[*Overlay]*Overlay, overlays),
	}
}

func (c *copies) inode(n *inode) *inode {
	if n == nil {
		return nil
	}
	if done := c.inodes[n]; done != nil {
		return done
	}
	m := new(inode)
	c.inodes[n] = m
	*m = *n
	m.slots = slices.Clone(n.slots)
	m.written = slices.Clone(n.written)
	m.overlays = make([]*Overlay, len(n.overlays))
	for i, o := range n.overlays {
		m.overlays[i] = c.overlay(o)
	}
	return m
}

func (c *copies) overlay(o *Overlay) *Overlay {
	if done := c.overlays[o]; done != nil {
		return done
	}
	m := new(Overlay)
	c.overlays[o] = m
	*m = *o
	m.node = c.inode(o.node)
	return m
}

func (c *copies) table(t table) table {
	m := table{names: slices.Clone(t.names), nodes: make(map[string]*inode, len(t.nodes))}
	for _, name := range t.names {
		m.nodes[name] = c.inode(t.nodes[name])
	}
	return m
}

// clone copies the table; the inodes are the same.
func (t *table) clone() table {
	m := table{names: slices.Clone(t.names), nodes: make(map[string]*inode, len(t.nodes))}
	for _, name := range t.names {
		m.nodes[name] = t.nodes[name]
	}
	return m
}
