"""A pseudo-terminal for tests: runs a command on it and does what its own standard input asks, one JSON value a line.

terminal.py COLUMNS ROWS STDIN STDOUT COMMAND...   STDIN and STDOUT: a file's path, or - for the terminal

Requests: {"send": text} {"resize": [columns, rows]} {"kill": signal} {"modes": 0} {"pending": 0}
Reports:  {"output": text} {"exit": code} {"modes": text} {"pending": text} {"pid": pid}
"""
import fcntl, json, os, select, signal, struct, sys, termios

columns, rows, stdin, stdout, *command = sys.argv[1:]
master, slave = os.openpty()


def resize(columns, rows):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", int(rows), int(columns), 0, 0))


def report(**what):
    print(json.dumps(what), flush=True)


def pending():
    """What a process that reads from the terminal would get now."""
    modes = termios.tcgetattr(slave)
    modes[3] &= ~termios.ICANON
    modes[6][termios.VMIN] = modes[6][termios.VTIME] = 0
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    return os.read(slave, 4096)


resize(columns, rows)
down, up = os.pipe()
# The leader of the session stands for the user's shell: it outlives the command.
leader = os.fork()
if leader == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTOU, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(slave if stdin == "-" else os.open(stdin, os.O_RDONLY), 0)
        os.dup2(slave if stdout == "-" else os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(slave, 2)
        os.execvp(command[0], command)
    os.write(up, b"%d\n" % job)
    os.write(up, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
    signal.pause()

job, news = 0, b""
requests = b""
while True:
    ready, _, _ = select.select([0, master, down], [], [])
    if master in ready:
        report(output=os.read(master, 65536).decode("utf-8", "replace"))
    if down in ready:
        *lines, news = (news + os.read(down, 64)).split(b"\n")
        for line in lines:
            if job:
                report(exit=int(line))
            else:
                job = int(line)
                report(pid=job)
    if 0 in ready:
        got = os.read(0, 65536)
        if not got:
            break
        *lines, requests = (requests + got).split(b"\n")
        for line in lines:
            (what, value), = json.loads(line).items()
            if what == "send":
                os.write(master, value.encode())
            elif what == "resize":
                resize(*value)
            elif what == "kill":
                os.kill(job, value)
            elif what == "modes":
                report(modes=repr(termios.tcgetattr(slave)))
            elif what == "pending":
                report(pending=pending().decode())
os.kill(leader, signal.SIGKILL)
