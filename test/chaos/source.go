package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// ownerOf says which of some processes holds the other end of a connection that was accepted here.
// The system's table of sockets has an inode for its pair of ports, and the process has a file of
// that inode. Nobody needs to say who he is, so this works for any program.
func ownerOf(conn *net.TCPConn, processes map[party]int) (party, error) {
	here, there := conn.LocalAddr().(*net.TCPAddr).Port, conn.RemoteAddr().(*net.TCPAddr).Port
	inode, err := socketOf(there, here)
	if err != nil {
		return 0, err
	}
	name := "socket:[" + inode + "]"
	for who, pid := range processes {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended
		}
		for _, file := range files {
			if target, err := os.Readlink(dir + "/" + file.Name()); err == nil && target == name {
				return who, nil
			}
		}
	}
	return 0, fmt.Errorf("no member has %s", name)
}

// socketOf finds the inode of a socket by its own port and the one that it is connected to.
func socketOf(local, remote int) (string, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			return "", err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			// sl, local address, remote address, state, queues, timer, retransmits, uid, timeout,
			// inode
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && portOf(fields[1]) == local && portOf(fields[2]) == remote {
				return fields[9], nil
			}
		}
		if err := lines.Err(); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("no socket from port %d to port %d", local, remote)
}

// portOf reads the port of an address of the table, which is hexadecimal; -1 if there is none.
func portOf(address string) int {
	_, port, _ := strings.Cut(address, ":")
	n, err := strconv.ParseInt(port, 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}
