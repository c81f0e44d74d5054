import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'

/** How a command ended. */
export interface Outcome {
  readonly ok: boolean
  readonly seconds: number
  /** All that it printed, in order of arrival. */
  readonly output: string
}

/** Runs a command in the repository's root; what takes longer than `patienceMs` is ended and has failed. */
export const runCommand = (
  command: string,
  args: readonly string[],
  options: {
    readonly root: string
    readonly patienceMs: number
    readonly logFile: string
    readonly env?: NodeJS.ProcessEnv
    /** Show the output as it comes. */
    readonly live?: boolean
  },
): Promise<Outcome> =>
  new Promise((resolve) => {
    const startedAt = performance.now()
    const log = createWriteStream(options.logFile)
    let output = ''
    const hear = (text: string): void => {
      output += text
      log.write(text)
      if (options.live === true) process.stdout.write(text)
    }
    const child = spawn(command, args, {
      cwd: options.root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const timer = setTimeout(() => {
      hear(`\nstill running after ${options.patienceMs / 1000} s: ended\n`)
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 5_000).unref()
    }, options.patienceMs)
    const settle = (ok: boolean): void => {
      clearTimeout(timer)
      log.end(() => resolve({ ok, seconds: (performance.now() - startedAt) / 1000, output }))
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    child.once('error', (error) => {
      hear(`${command}: ${error.message}\n`)
      settle(false)
    })
    child.once('close', (code) => settle(code === 0))
  })
