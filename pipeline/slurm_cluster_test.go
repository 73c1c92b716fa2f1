//go:build unix

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slurmCluster is a real Slurm cluster on this machine: a controller and the nodes n1 and n2, of two cores each, in a
// temporary directory, with their own ports and their own munged. It needs Linux, root, and Debian's slurmctld, slurmd,
// slurm-client and munge; no service has to be configured or running. Jobs in the partition urgent preempt those in
// main, which are requeued.
type slurmCluster struct {
	t       testing.TB
	dir     string
	daemons map[string]*exec.Cmd
}

// slurmConfig configures the cluster. Requeued jobs start again after seconds instead of minutes. Slurm checks time
// limits every half minute, which cannot be changed.
const slurmConfig = `ClusterName=test
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[3]d
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=%[2]s/munge.socket,cred_expire=5
StateSaveLocation=%[2]s/state
SlurmdSpoolDir=%[2]s/%%n
SlurmctldPidFile=%[2]s/slurmctld.pid
SlurmdPidFile=%[2]s/%%n.pid
SlurmctldLogFile=%[2]s/slurmctld.log
SlurmdLogFile=%[2]s/%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdTimeout=%[6]d
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
MpiDefault=none
NodeName=n1 NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=%[4]d CPUs=2 RealMemory=1000
NodeName=n2 NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=%[5]d CPUs=2 RealMemory=1000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
`

// startSlurm starts a cluster, which ends with the test. A node that does not answer for a time counts as dead.
func startSlurm(t testing.TB, dead time.Duration) *slurmCluster {
	t.Helper()
	for _, program := range []string{"munged", "slurmctld", "slurmd", "sbatch"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (Debian: slurmctld slurmd slurm-client munge)", program)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start nodes that start jobs")
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	// The path of t.TempDir may be too long for a socket.
	dir, err := os.MkdirTemp("", "slurm-")
	if err != nil {
		t.Fatal(err)
	}
	c := &slurmCluster{t: t, dir: dir, daemons: map[string]*exec.Cmd{}}
	t.Cleanup(c.stop)
	key := make([]byte, 1024)
	_, _ = rand.Read(key) // never fails
	c.write("munge.key", string(key), 0o400)
	c.write("slurm.conf", fmt.Sprintf(slurmConfig, host, dir, freePort(t), freePort(t), freePort(t),
		int(dead.Seconds())), 0o644)
	for _, sub := range []string{"state", "n1", "n2"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	c.start("munged", "munged", "--foreground", "--force", "--key-file="+file("munge.key"),
		"--socket="+file("munge.socket"), "--pid-file="+file("munged.pid"), "--log-file="+file("munged.log"),
		"--seed-file="+file("munged.seed"))
	c.eventually("munged listens", func() bool {
		_, err := os.Stat(file("munge.socket"))
		return err == nil
	})
	c.StartController()
	c.StartNode("n1")
	c.StartNode("n2")
	c.eventually("both nodes are idle", func() bool {
		out, _ := c.command("sinfo", "--noheader", "--format=%T %D").Output()
		return strings.TrimSpace(string(out)) == "idle 2"
	})
	return c
}

// Env returns the variables with which Slurm's commands find the cluster.
func (c *slurmCluster) Env() []string {
	return []string{"SLURM_CONF=" + filepath.Join(c.dir, "slurm.conf")}
}

// Run runs a command of Slurm and returns what it prints.
func (c *slurmCluster) Run(args ...string) string {
	c.t.Helper()
	cmd := c.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// StartController starts slurmctld.
func (c *slurmCluster) StartController() { c.start("slurmctld", "slurmctld", "-D") }

// StopController stops slurmctld as for a restart, so that it saves its state first. Jobs keep running.
func (c *slurmCluster) StopController() {
	cmd := c.daemons["slurmctld"]
	delete(c.daemons, "slurmctld")
	_ = cmd.Process.Signal(syscall.SIGTERM) // the caller notices if it still answers
	_ = cmd.Wait()
}

// StartNode starts the slurmd of a node.
func (c *slurmCluster) StartNode(node string) { c.start(node, "slurmd", "-D", "-N", node) }

// KillNode kills the slurmd of a node and all its jobs at once, as a power failure does.
func (c *slurmCluster) KillNode(node string) {
	c.t.Helper()
	c.kill(node)
	c.eventually("the processes of "+node+" are gone", func() bool { return !c.killProcesses(node) })
}

// killProcesses kills the processes of a node's jobs, and reports whether there were any. It stops all of them first.
// Otherwise a slurmstepd would live long enough to report that its job was killed.
func (c *slurmCluster) killProcesses(node string) (found bool) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		c.t.Fatal(err)
	}
	var pids []int
	for _, path := range files {
		data, err := os.ReadFile(path)
		vars := strings.Split(string(data), "\x00")
		if err != nil || !slices.Contains(vars, c.Env()[0]) || !slices.Contains(vars, "SLURMD_NODENAME="+node) {
			continue
		}
		process := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			c.t.Fatal(err)
		}
		if parent := stepOf(process); parent > 0 {
			pids = append([]int{parent}, pids...)
		}
		pids = append(pids, pid)
	}
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal) // it may just have ended
		}
	}
	return len(pids) > 0
}

// stepOf returns the ID of the slurmstepd that started a process, or 0. It takes the directory of the process in /proc.
func stepOf(process string) int {
	status, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		text, ok := strings.CutPrefix(line, "PPid:")
		parent, err := strconv.Atoi(strings.TrimSpace(text))
		if !ok || err != nil {
			continue
		}
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); strings.HasPrefix(string(name), "slurmstepd") {
			return parent
		}
	}
	return 0
}

func (c *slurmCluster) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), c.Env()...)
	return cmd
}

// start starts a daemon in the foreground.
func (c *slurmCluster) start(name string, args ...string) {
	c.t.Helper()
	cmd := c.command(args...)
	// Variables of the store must not reach the jobs by way of the daemons.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), c.Env()[0]}
	log, err := os.OpenFile(filepath.Join(c.dir, name+".err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.daemons[name] = cmd
}

func (c *slurmCluster) kill(name string) {
	cmd := c.daemons[name]
	if cmd == nil {
		return
	}
	delete(c.daemons, name)
	_ = cmd.Process.Kill() // it may have ended by itself
	_ = cmd.Wait()
}

// stop ends the cluster and everything that it started.
func (c *slurmCluster) stop() {
	if c.t.Failed() {
		for _, name := range []string{"slurmctld", "n1", "n2", "munged"} {
			data, _ := os.ReadFile(filepath.Join(c.dir, name+".log"))
			c.t.Logf("end of %s.log:\n%s", name, data[max(0, len(data)-4000):])
		}
	}
	for _, name := range []string{"n1", "n2", "slurmctld", "munged"} {
		c.kill(name)
	}
	for _, node := range []string{"n1", "n2"} {
		c.eventually("the processes of "+node+" are gone", func() bool { return !c.killProcesses(node) })
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}

func (c *slurmCluster) write(name, text string, mode os.FileMode) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
}

func (c *slurmCluster) eventually(what string, f func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	for _, name := range []string{"slurmctld", "n1", "n2", "munged"} {
		data, _ := os.ReadFile(filepath.Join(c.dir, name+".err"))
		c.t.Logf("%s: %s", name, data)
	}
	c.t.Fatalf("timeout: %s", what)
}

// freePort returns a port that no server uses.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
