import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import type { Patience } from './patience.js'

/** How a command ended. */
export interface Outcome {
  readonly ok: boolean
  readonly seconds: number
  /** All that it printed, in order of arrival. */
  readonly output: string
  /** Why it was ended before its own end; `undefined` if it was not. */
  readonly givenUp: string | undefined
}

export interface CommandOptions {
  /** Where it runs. */
  readonly root: string
  /** Its output counts as progress, and so does `progress`. */
  readonly patience: Patience
  /** Grows as the command gets on, where its output does not tell. */
  readonly progress?: () => number
  /** Ends the command when it is aborted. */
  readonly signal?: AbortSignal
  readonly logFile: string
  readonly env?: NodeJS.ProcessEnv
  /** Show the output as it comes. */
  readonly live?: boolean
}

const TICK_MS = 1_000
/** Between SIGTERM and SIGKILL. */
const LAST_WORDS_MS = 5_000

/**
 * Runs a command, and ends it with all its processes when the patience is over. Never rejects: a command that cannot be
 * started has failed.
 */
export const runCommand = (command: string, args: readonly string[], options: CommandOptions): Promise<Outcome> =>
  new Promise((resolve) => {
    if (options.signal?.aborted === true) {
      resolve({ ok: false, seconds: 0, output: '', givenUp: String(options.signal.reason) })
      return
    }
    const startedAt = performance.now()
    const log = createWriteStream(options.logFile)
    let output = ''
    let givenUp: string | undefined
    const hear = (text: string): void => {
      output += text
      log.write(text)
      if (options.live === true) process.stdout.write(text)
    }
    const child = spawn(command, args, {
      cwd: options.root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that its workers end with it, and a Ctrl-C in the terminal leaves it to us.
      detached: true,
    })
    let killTimer: NodeJS.Timeout | undefined
    const giveUp = (why: string): void => {
      if (givenUp !== undefined) return
      givenUp = why
      hear(`\n${why}: ended\n`)
      signalGroup(child, 'SIGTERM')
      killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), LAST_WORDS_MS)
    }
    const timer = setInterval(() => {
      const progress = `${output.length} ${options.progress?.() ?? ''}`
      if (options.patience.isOver(progress, TICK_MS)) giveUp(options.patience.complaint)
    }, TICK_MS)
    const interrupted = (): void => giveUp(String(options.signal?.reason))
    options.signal?.addEventListener('abort', interrupted)
    const settle = (ok: boolean): void => {
      clearInterval(timer)
      clearTimeout(killTimer)
      options.signal?.removeEventListener('abort', interrupted)
      const seconds = (performance.now() - startedAt) / 1000
      log.end(() => resolve({ ok: ok && givenUp === undefined, seconds, output, givenUp }))
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    child.once('error', (error) => {
      hear(`${command}: ${error.message}\n`)
      settle(false)
    })
    child.once('close', (code) => settle(code === 0))
  })

/** Reaches the command's workers too, also when the command itself has ended already. */
const signalGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // Nobody is left of the group.
  }
}
