import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { WaitOptions } from '../../../src/backends/redis/options.js'
import type { Backend } from '../../../src/contract/backend.js'
import { systemRuntime } from '../../../src/runtime.js'

export interface WriterOptions {
  readonly url: string
  readonly prefix: string
  readonly wait?: WaitOptions
}

/** What a writer says that was acknowledged, or was not. */
export type Told =
  | { readonly is: 'kept'; readonly key: string; readonly version: number }
  | { readonly is: 'destroyed'; readonly key: string }
  | { readonly is: 'failed'; readonly applied: string }

/** What was acknowledged last of a session, and when the test heard of it first. */
interface Acknowledged {
  readonly version: number
  readonly isDestroyed: boolean
  /** By the monotonic clock. */
  readonly at: number
}

/** Three processes that write until they are stopped. */
export interface Writers {
  /** How many changes were acknowledged so far. */
  acknowledged(): number
  /** How many calls failed so far, by what they said of the change. */
  failures(): ReadonlyMap<string, number>
  /** Resolves when so many more changes were acknowledged; rejects if a writer ends meanwhile. */
  more(count: number): Promise<void>
  stop(): Promise<void>
  /** What was acknowledged and does not stand in the backend: each with the moment at which it was acknowledged. */
  missing(backend: Backend): Promise<readonly { readonly at: number; readonly what: string }[]>
}

const program = fileURLToPath(new URL('writer-process.ts', import.meta.url))

export const startWriters = (options: WriterOptions): Writers => {
  const sessions = new Map<string, Acknowledged>()
  const failures = new Map<string, number>()
  let count = 0
  let ended: string | undefined
  let isStopping = false
  const children = Array.from({ length: 3 }, (): ChildProcess => {
    const child = fork(program, [JSON.stringify(options)], {
      execArgv: ['--import', import.meta.resolve('tsx')],
    })
    child.on('message', (told: Told) => {
      if (told.is === 'failed') {
        failures.set(told.applied, (failures.get(told.applied) ?? 0) + 1)
        return
      }
      count += 1
      const before = sessions.get(told.key)
      const version = told.is === 'kept' ? told.version : (before?.version ?? 0)
      sessions.set(told.key, { version, isDestroyed: told.is === 'destroyed', at: systemRuntime.monotonicMs() })
    })
    child.once('exit', (code, signal) => {
      if (!isStopping) ended = `a writer ended: ${code ?? signal}`
    })
    return child
  })
  return {
    acknowledged: () => count,
    failures: () => failures,
    more: async (wanted) => {
      const goal = count + wanted
      while (count < goal) {
        if (ended !== undefined) throw new Error(ended)
        await new Promise((resolve) => systemRuntime.after(20, () => resolve(undefined)))
      }
    },
    stop: async () => {
      isStopping = true
      await Promise.all(
        children.map(
          (child) =>
            new Promise((resolve) => {
              if (child.exitCode !== null || child.signalCode !== null) resolve(undefined)
              child.once('exit', resolve)
              child.kill('SIGKILL')
            }),
        ),
      )
    },
    missing: async (backend) => {
      const found: { at: number; what: string }[] = []
      for (const [key, { version, isDestroyed, at }] of sessions) {
        const copy = await backend.read({ key })
        if (isDestroyed) {
          if (copy.state !== 'destroyed') found.push({ at, what: `destroyed, and ${copy.state}` })
        } else if (copy.state === 'absent') found.push({ at, what: `version ${version}, and absent` })
        else if (copy.state === 'live' && copy.session.version < version)
          found.push({ at, what: `version ${version}, and ${copy.session.version}` })
      }
      return found
    },
  }
}
