import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CloseReport, StoreStats } from '../../src/contract/index.js'
import type { StoreOptions } from '../../src/index.js'
import type { Operation, Token } from './history.js'

export type Data = Record<string, unknown>

export interface OpenOptions
  extends Pick<
    StoreOptions<Data>,
    'maxStaleCount' | 'maxStaleMs' | 'namespace' | 'conflict' | 'maxSessionsPerUser' | 'onTooManySessions' | 'sealing'
  > {
  readonly cacheAddress: string
  readonly backend: BackendPlace
  /** How long a tier may take to answer, in ms. @default 8_000 */
  readonly patienceMs?: number
  /** Whether `user` in the data of a session says whose it is. */
  readonly identifies?: boolean
}

/** Where a store keeps its sessions, in words that go from process to process. */
export type BackendPlace =
  | { readonly kind: 'postgres'; readonly connectionString: string; readonly schema: string }
  | { readonly kind: 'redis'; readonly url: string; readonly prefix: string }
  | {
      readonly kind: 'couchdb'
      readonly url: string
      readonly database: string
      /** By how much the stores' clock differs from the system's, so that the date is the test's choice. */
      readonly clockShiftMs: number
    }

/** What a process does next to a session, `afterMs` (fractions count) after what it did before. */
export type Step = { readonly afterMs?: number /** Of another session than the script's. */; readonly id?: string } & (
  | { readonly what: 'load'; readonly hold?: boolean }
  | {
      readonly what: 'write'
      readonly token: Token
      /** Between loading and saving. */
      readonly thinkMs?: number
      readonly durable?: boolean
      /** Adds the token to the list under this key, in place of a key of its own. */
      readonly onto?: string
      /** Saves the copy that an earlier `load` held, however old, in place of a fresh one. */
      readonly held?: boolean
    }
  | { readonly what: 'update'; readonly token: Token; readonly durable?: boolean }
  | { readonly what: 'destroy' }
  | { readonly what: 'regenerate' }
  /** A new session under this id, which is nobody's. */
  | { readonly what: 'create' }
  /** Makes the session a user's: a new one under this id by `create`, else one that stands there and is nobody's. */
  | { readonly what: 'login'; readonly user: string; readonly by: LoginBy }
  | { readonly what: 'logout everywhere'; readonly user: string /** The id of a session. */; readonly except?: string }
)

export type LoginBy = 'create' | 'save' | 'update' | 'put' | 'regenerate'

export interface Script {
  readonly store: string
  readonly id: string
  readonly steps: readonly Step[]
  /** All steps at once, in place of one after the other. */
  readonly atOnce?: boolean
}

export type Message =
  | { readonly ask: 'open'; readonly store: string; readonly options: OpenOptions }
  | { readonly ask: 'create'; readonly store: string }
  | { readonly ask: 'run'; readonly script: Script }
  | { readonly ask: 'data'; readonly store: string; readonly id: string }
  | { readonly ask: 'listByUser'; readonly store: string; readonly user: string }
  | { readonly ask: 'epochs'; readonly store: string; readonly user: string; readonly ids: readonly string[] }
  | { readonly ask: 'stats'; readonly store: string }
  | { readonly ask: 'close'; readonly store: string }

export interface Reply {
  /** 0 says that the process is ready; the others are those of the questions. */
  readonly number: number
  readonly value?: unknown
  readonly error?: string
}

/** A regeneration that succeeded tells the new id. */
export type Done = Operation & { readonly session: string; readonly id?: string }

/** The epoch of a user, and of each session of his; of no other session. */
export interface Epochs {
  readonly epoch: number
  readonly ofSessions: readonly (readonly [id: string, epoch: number])[]
}

/** A real process with stores of its own. */
export interface StoreProcess {
  readonly pid: number
  open(store: string, options: OpenOptions): Promise<void>
  create(store: string): Promise<string>
  run(script: Script): Promise<readonly Done[]>
  /** All that stands in a session, as this process sees it; `null` for none. */
  data(store: string, id: string): Promise<Data | null>
  /** The handles of a user's sessions. */
  listByUser(store: string, user: string): Promise<readonly string[]>
  /** As they stand in the backend. */
  epochs(store: string, user: string, ids: readonly string[]): Promise<Epochs>
  stats(store: string): Promise<StoreStats>
  close(store: string): Promise<CloseReport>
  /** Ends the process; resolves when it is gone. */
  end(): Promise<void>
}

const program = fileURLToPath(new URL('store-process.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts that many processes, and resolves when all are ready. */
export const startProcesses = async (count: number): Promise<readonly StoreProcess[]> =>
  await Promise.all(Array.from({ length: count }, (_, at) => startProcess(at + 1)))

const startProcess = async (name: number): Promise<StoreProcess> => {
  const child = fork(program, [String(name)], { cwd: root, execArgv: ['--import', 'tsx'] })
  const ask = asking(child)
  await ask.ready
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    pid: child.pid ?? 0,
    open: async (store, options) => void (await ask.put({ ask: 'open', store, options })),
    create: async (store) => (await ask.put({ ask: 'create', store })) as string,
    run: async (script) => (await ask.put({ ask: 'run', script })) as Done[],
    data: async (store, id) => (await ask.put({ ask: 'data', store, id })) as Data | null,
    listByUser: async (store, user) => (await ask.put({ ask: 'listByUser', store, user })) as string[],
    epochs: async (store, user, ids) => (await ask.put({ ask: 'epochs', store, user, ids })) as Epochs,
    stats: async (store) => (await ask.put({ ask: 'stats', store })) as StoreStats,
    close: async (store) => (await ask.put({ ask: 'close', store })) as CloseReport,
    end: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

interface Asking {
  readonly ready: Promise<unknown>
  put(message: Message): Promise<unknown>
}

const asking = (child: ChildProcess): Asking => {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let last = -1
  const answerTo = (number: number): Promise<unknown> =>
    new Promise((resolve, reject) => waiting.set(number, { resolve, reject }))
  child.on('message', ({ number, value, error }: Reply) => {
    const asked = waiting.get(number)
    waiting.delete(number)
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(new Error(`in process ${child.pid}: ${error}`))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`process ${child.pid} ended: ${code ?? signal}`))
  })
  const numbered = (): number => {
    last += 1
    return last
  }
  return {
    ready: answerTo(numbered()),
    put: async (message) => {
      const number = numbered()
      const answer = answerTo(number)
      child.send({ ...message, number })
      return await answer
    },
  }
}
