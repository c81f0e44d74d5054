import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'

/** A server process that this program started, and therefore ends. */
export interface StartedProcess {
  readonly pid: number
  /** Resolves, never rejects, when the process is gone for whatever reason. */
  readonly exited: Promise<void>
  isGone(): boolean
  /** Sends a signal; does nothing if the process is gone. After SIGSTOP none of its threads runs any more. */
  signal(signal: NodeJS.Signals): void
  /** Sends the signal, waits `patienceMs`, then SIGKILL. A paused process is woken first. */
  end(signal: NodeJS.Signals, patienceMs?: number): Promise<void>
}

/**
 * Starts a server in a process group of its own, so that a Ctrl-C in the terminal reaches only us and we decide
 * in which order things end. A guard process ends it and removes `folder` should we die first.
 *
 * @param endSignal what the guard sends before it resorts to SIGKILL
 */
export const startProcess = (options: {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
  readonly folder: string
  readonly logFile: string
  readonly endSignal: NodeJS.Signals
}): Promise<StartedProcess> =>
  new Promise((resolve, reject) => {
    const log = openSync(options.logFile, 'a')
    const child = spawn(options.command, options.args, {
      // Not our working directory: another user may not be allowed to stand in it.
      cwd: options.folder,
      detached: true,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log, log],
      ...(options.user ?? {}),
    })
    closeSync(log)
    child.once('error', reject)
    child.once('spawn', () => {
      const pid = child.pid
      if (pid === undefined) return reject(new Error(`${options.command} started without a process id`))
      const guard = startGuard(pid, options.endSignal, options.folder)
      let gone = false
      const exited = new Promise<void>((done) => {
        child.once('exit', () => {
          gone = true
          guard.kill('SIGKILL')
          done()
        })
      })
      const signal = (name: NodeJS.Signals): void => {
        if (gone) return
        child.kill(name)
        if (name === 'SIGSTOP') waitUntilStopped(pid)
      }
      const end = async (name: NodeJS.Signals, patienceMs = 10_000): Promise<void> => {
        signal('SIGCONT')
        signal(name)
        const timer = setTimeout(() => signal('SIGKILL'), patienceMs)
        await exited
        clearTimeout(timer)
      }
      child.unref()
      resolve({ pid, exited, isGone: () => gone, signal, end })
    })
  })

/**
 * One mechanism for every way of dying (exit, a signal, an uncaught error, kill -9): the guard reads a pipe that
 * only we hold open. When the pipe closes, it ends the server and removes its folder.
 */
const startGuard = (pid: number, signal: NodeJS.Signals, folder: string): ChildProcess => {
  const script = [
    'cat >/dev/null',
    'kill -CONT "$1" 2>/dev/null',
    'kill -s "$2" "$1" 2>/dev/null',
    'tries=0',
    'while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 50 ]; do',
    // In a container without an init nobody buries the dead, and a dead process still takes signals.
    '  case "$(cat "/proc/$1/stat" 2>/dev/null)" in *") Z "*) break ;; esac',
    '  sleep 0.1; tries=$((tries + 1))',
    'done',
    'kill -KILL "$1" 2>/dev/null',
    'rm -rf "$3"',
  ].join('\n')
  const guard = spawn('/bin/sh', ['-c', script, 'nonstick-guard', String(pid), signal.slice(3), folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  guard.stdin.on('error', () => {})
  // A pipe keeps the event loop alive until told otherwise; the typing of a writable stream hides that it is a socket.
  ;(guard.stdin as unknown as { unref(): void }).unref()
  return guard
}

/** A port that was free a moment ago. Whoever uses it must be ready to try another. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no free port')),
      )
    })
  })

/** The processes started by `pid`, from /proc; empty where there is none. */
export const childrenOf = (pid: number): number[] => {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((candidate) => parentOf(candidate) === pid)
  } catch {
    return []
  }
}

const parentOf = (pid: number): number | undefined => {
  try {
    // The second field is the name in parentheses and may hold anything, so we look behind its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

/**
 * A signal takes a moment to reach all threads of a process, and until then it goes on answering. This holds the caller
 * up until none runs any more, or for five seconds; where there is no /proc nobody can tell.
 */
export const waitUntilStopped = (pid: number): void => {
  const giveUpAt = performance.now() + 5_000
  while (!isStopped(pid) && performance.now() < giveUpAt);
}

const isStopped = (pid: number): boolean => {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      // Stopped, or dead and not yet buried.
      return 'TtZX'.includes(stat[stat.lastIndexOf(')') + 2] ?? '')
    })
  } catch {
    return true
  }
}

/** Removes a folder into which a dying server may still be writing. */
export const removeFolder = (folder: string): Promise<void> =>
  rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })

export const pauseMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Repeats `attempt` until it is true; throws with `complaint` when `withinMs` have passed. */
export const waitUntil = async (
  attempt: () => boolean | Promise<boolean>,
  withinMs: number,
  complaint: () => string,
): Promise<void> => {
  const giveUpAt = Date.now() + withinMs
  while (!(await attempt())) {
    if (Date.now() > giveUpAt) throw new Error(complaint())
    await pauseMs(20)
  }
}

/** The end of a server's log, for the message of an error. */
export const lastLines = (logFile: string, count = 8): string => {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
  } catch {
    return '(no log)'
  }
}
