import type { Backend } from '../contract/backend.js'
import type { FrontCache } from '../contract/front-cache.js'
import { tierUnavailable } from '../errors.js'

/**
 * Stands between a caller and a tier. `call` names the contract's method; `proceed` makes the real call and
 * may be made late, twice or not at all.
 */
export type Interceptor = (call: string, proceed: () => Promise<unknown>) => Promise<unknown>

/** What a test does to a tier, and sees of it. */
export interface FaultControls {
  /** Every call rejects as a tier does whose server refuses connections. */
  unreachable: boolean
  /**
   * Every call that would store something is refused as by a server that answers and has no room. A cache's `add` and
   * `cas` end as `refused`, and its reads and deletes go through; every other change rejects with
   * `E_SESSION_UNAVAILABLE`, surely not applied and `answered`.
   */
  refusing: boolean
  /** Runs round every call that is not refused. Default: just proceeds. */
  intercept: Interceptor
  /** The calls made so far, in order, refused ones too. */
  readonly calls: string[]
}

const CHANGES: ReadonlySet<string> = new Set([
  'add',
  'cas',
  'set',
  'delete',
  'insert',
  'update',
  'extend',
  'destroy',
  'purge',
  'writeUser',
])
/** A cache deletes without any room, and answers with an outcome where others raise an error. */
const NEEDS_NO_ROOM = 'delete'
const REFUSED_AS_OUTCOME: ReadonlySet<string> = new Set(['add', 'cas'])
const FREE: ReadonlySet<string> = new Set(['close'])

/** A front cache whose failures a test decides. */
export const faultyCache = <Tier extends FrontCache>(tier: Tier): Tier & FaultControls => faulty(tier)

/** A backend whose failures a test decides. */
export const faultyBackend = <Tier extends Backend>(tier: Tier): Tier & FaultControls => faulty(tier)

const faulty = <Tier extends FrontCache | Backend>(tier: Tier): Tier & FaultControls => {
  const controls: FaultControls = {
    unreachable: false,
    refusing: false,
    intercept: (_call, proceed) => proceed(),
    calls: [],
  }
  return new Proxy(tier, {
    get: (target, name) => {
      if (Object.hasOwn(controls, name)) return controls[name as keyof FaultControls]
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function' || typeof name !== 'string') return member
      return (...parameters: unknown[]): unknown => {
        const proceed = (): unknown => Reflect.apply(member, target, parameters)
        // What does not give a promise (a double's own helper, say) is no call of the contract.
        if (FREE.has(name) || !isContractMethod(name)) return proceed()
        controls.calls.push(name)
        if (controls.unreachable) return Promise.reject(refused(target.name, name))
        if (controls.refusing && CHANGES.has(name) && name !== NEEDS_NO_ROOM)
          return REFUSED_AS_OUTCOME.has(name)
            ? Promise.resolve({ outcome: 'refused' })
            : Promise.reject(withoutRoom(target.name, name))
        return controls.intercept(name, async () => await proceed())
      }
    },
    set: (_target, name, value) => Reflect.set(controls, name, value),
  }) as Tier & FaultControls
}

const READS: ReadonlySet<string> = new Set([
  'get',
  'read',
  'health',
  'list',
  'listKeys',
  'count',
  'countUsers',
  'readUser',
  'setUp',
])

const isContractMethod = (name: string): boolean => CHANGES.has(name) || READS.has(name)

const withoutRoom = (tier: string, call: string): Error =>
  tierUnavailable(tier, call, { because: 'it was made to refuse by a test', applied: 'no', answered: true })

const refused = (tier: string, call: string): Error =>
  tierUnavailable(tier, call, {
    because: 'it was made unreachable by a test',
    ...(CHANGES.has(call) ? { applied: 'no' as const } : {}),
  })
