/** A process that is measured: it does nothing else, so that what it uses is what its work costs. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The process, as the one that measures sees it. */
export interface Subject {
  readonly pid: number
  /** Rejects with the message of what went wrong there, or when the process is gone. */
  ask<Answer>(question: object): Promise<Answer>
  /** Ends it, and resolves when it is gone. */
  end(): Promise<void>
}

interface Question {
  readonly number: number
  readonly question: object
}

type Answer = { readonly number: number } & ({ readonly answer: unknown } | { readonly error: string })

/**
 * Starts a program beside this file, in a process of its own.
 *
 * @param program its name without ending: `store-subject`
 * @param flags of Node, beside those by which it reads TypeScript
 */
export const startSubject = async (program: string, flags: readonly string[] = []): Promise<Subject> => {
  const child = fork(fileURLToPath(new URL(`./${program}.ts`, import.meta.url)), [], {
    execArgv: ['--import', 'tsx', '--expose-gc', '--disable-warning=NONSTICK_FAULT', ...flags],
    env: { ...process.env, NODE_ENV: 'production', TSX_DISABLE_CACHE: '1' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let last = 0
  let isGone = false
  child.on('message', (message: Answer) => {
    const asker = waiting.get(message.number)
    waiting.delete(message.number)
    if ('error' in message) asker?.reject(new Error(`${program}: ${message.error}`))
    else asker?.resolve(message.answer)
  })
  const gone = once(child, 'exit').then(() => {
    isGone = true
    for (const { reject } of waiting.values()) reject(new Error(`${program} has ended`))
    waiting.clear()
  })
  return {
    pid: child.pid ?? 0,
    ask: <Answer>(question: object) =>
      new Promise<Answer>((resolve, reject) => {
        if (isGone) return reject(new Error(`${program} has ended`))
        last += 1
        waiting.set(last, { resolve: resolve as (answer: unknown) => void, reject })
        child.send({ number: last, question } satisfies Question)
      }),
    end: async () => {
      if (!isGone) child.kill('SIGKILL')
      await gone
    },
  }
}

/** In the process that is measured: answers what it is asked, one question after the other. */
export const answerAll = (answer: (question: never) => Promise<unknown> | unknown): void => {
  let before: Promise<void> = Promise.resolve()
  process.on('message', ({ number, question }: Question) => {
    before = before.then(async () => {
      try {
        process.send?.({ number, answer: (await answer(question as never)) ?? null })
      } catch (error) {
        process.send?.({ number, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
      }
    })
  })
  process.on('disconnect', () => process.exit())
}

/** What this process has used of its processors so far, in microseconds. */
export const cpuUs = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}
