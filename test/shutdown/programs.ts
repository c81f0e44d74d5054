import { type ChildProcess, spawn } from 'node:child_process'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A program of ours in a process of its own. */
export interface Program {
  readonly pid: number
  /** Resolves with what the pattern found in its output, which may be there already; rejects if it ends before. */
  prints(pattern: RegExp, times?: number): Promise<readonly RegExpMatchArray[]>
  output(): string
  signal(signal: NodeJS.Signals): void
  /** How it ended: its exit code, or the signal that killed it. */
  readonly ended: Promise<number | string>
  /** Kills it if it still runs. */
  stop(): Promise<void>
}

/** The programs are translated by the settings with which they are checked; those of NestJS need its decorators. */
const TSX = { TSX_TSCONFIG_PATH: 'scripts/tsconfig.json' }

/** Takes out of a program's environment the variables of the tests' own, which are none of the library's. */
export const WITHOUT_OURS: NodeJS.ProcessEnv = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith('NONSTICK_'))
    .map((name) => [name, undefined]),
)

/** Starts a TypeScript program of this repository; `nonstick` in it is this checkout's sources. */
export const startProgram = (file: string, env: NodeJS.ProcessEnv = {}, args: readonly string[] = []): Program => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--import', new URL('../support/from-source.mjs', import.meta.url).href, file, ...args],
    { cwd: root, env: { ...process.env, ...TSX, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  return watched(child)
}

const watched = (child: ChildProcess): Program => {
  let output = ''
  const lookers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      for (const look of lookers) look()
    })
  // All of its output is read by then.
  const ended = new Promise<number | string>((resolve) =>
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown')
      for (const look of lookers) look()
    }),
  )
  let isGone = false
  void ended.then(() => {
    isGone = true
    for (const look of lookers) look()
  })
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ended,
    prints: (pattern, times = 1) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = [...output.matchAll(new RegExp(pattern, 'gm'))]
          if (found.length < times && !isGone) return
          lookers.delete(look)
          if (found.length < times) reject(new Error(`it ended without having printed ${pattern}:\n${output}`))
          else resolve(found)
        }
        lookers.add(look)
        look()
      }),
    signal: (signal) => void child.kill(signal),
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers: Record<string, string | string[] | undefined>
}

/** One request over a connection of its own, or over the agent's. */
export const get = (
  port: number,
  path: string,
  options: { readonly cookie?: string; readonly agent?: import('node:http').Agent } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = options.cookie === undefined ? {} : { cookie: options.cookie }
    const asked = request({ host: '127.0.0.1', port, path, headers, agent: options.agent ?? false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: text === '' ? undefined : JSON.parse(text),
          headers: response.headers,
        }),
      )
    })
    asked.on('error', reject)
    asked.end()
  })
