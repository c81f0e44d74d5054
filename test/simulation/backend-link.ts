import type {
  Backend,
  BackendCopy,
  DestroyOptions,
  DestroyOutcome,
  ExtendOutcome,
  Extension,
  GuardedUpdate,
  InsertOptions,
  InsertOutcome,
  PurgeOutcome,
  StoredSession,
  UpdateOutcome,
} from '../../src/contract/backend.js'
import type { Locator } from '../../src/contract/locator.js'
import type { Runtime } from '../../src/contract/time.js'
import { SessionStoreError, tierUnavailable } from '../../src/errors.js'
import type { Owner } from './clockwork.js'
import type { World } from './world.js'

/**
 * One process's way to the backend. A call has a deadline of its own; after it the command may still be on its way,
 * and be committed. A command may also arrive a second time later: by the contract, that is safe.
 */
export class BackendLink implements Backend {
  readonly name = 'backend'
  protected readonly world: World
  protected readonly process: Owner & { readonly name: string }
  readonly #runtime: Runtime
  readonly #timeoutMs: number
  #closed = false
  /** So many calls to come get no answer, each for itself; the backend is not away. */
  failing = 0

  constructor(world: World, process: Owner & { readonly name: string }, runtime: Runtime, timeoutMs: number) {
    this.world = world
    this.process = process
    this.#runtime = runtime
    this.#timeoutMs = timeoutMs
  }

  read(locator: Locator): Promise<BackendCopy> {
    return this.ask('read', [locator], false, () => this.world.backendServer.read(locator))
  }

  insert(locator: Locator, session: StoredSession, options?: InsertOptions): Promise<InsertOutcome> {
    this.world.onSentToBackend(this.process.name, locator.key, session)
    return this.ask('insert', [locator], true, () => this.world.backendServer.insert(locator, session, options))
  }

  update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]> {
    const locators = entries.map(({ locator }) => locator)
    for (const { locator, session } of entries) this.world.onSentToBackend(this.process.name, locator.key, session)
    const unreached = new Set(locators.filter(({ key }) => this.world.isUnreached(this.process.name, key)))
    const isUnreached = (key: string): boolean => [...unreached].some((locator) => locator.key === key)
    const isTakeover = entries.some(({ guard, session }) => guard.lineage !== session.lineage)
    const update = (): UpdateOutcome[] => this.world.backendServer.update(entries, isUnreached)
    return this.ask('update', locators, true, update, isTakeover)
  }

  extend(extensions: readonly Extension[]): Promise<readonly ExtendOutcome[]> {
    const locators = extensions.map(({ locator }) => locator)
    return this.ask('extend', locators, true, () => this.world.backendServer.extend(extensions))
  }

  destroy(locator: Locator, options: DestroyOptions): Promise<DestroyOutcome> {
    return this.ask('destroy', [locator], true, () => this.world.backendServer.destroy(locator, options))
  }

  async purge(): Promise<PurgeOutcome> {
    return { removed: 0, more: false }
  }

  async setUp(): Promise<void> {}

  async health(): Promise<{ readonly tier: string; readonly state: 'up'; readonly latencyMs: number }> {
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  protected ask<T>(
    operation: string,
    locators: readonly Locator[],
    isChange: boolean,
    execute: () => T,
    isTakeover = false,
    userId?: string,
  ): Promise<T> {
    const world = this.world
    const { network, config } = world
    if (this.#closed) return Promise.reject(new SessionStoreError('E_CLOSED', 'The backend was closed'))
    return new Promise<T>((resolve, reject) => {
      let settled = false
      const names = locators.map(({ key }) => world.nameOf(key)).join(' ')
      const fail = (because: string, applied: 'no' | 'unknown', error?: SessionStoreError): void => {
        if (settled) return
        settled = true
        stopWaiting()
        world.note(this.process, `backend ${operation} ${names} failed: ${because}`)
        for (const { key } of locators) world.onBackendFailure(this.process, key)
        if (userId !== undefined) world.users.onFailure(this.process.name, userId)
        reject(error ?? tierUnavailable(this.name, operation, { because, ...(isChange ? { applied } : {}) }))
      }
      let stopWaiting = (): void => {}
      if (world.backendOutage === 'refusing') {
        world.strikeFelt('backend down')
        stopWaiting = this.#runtime.after(0.5, () => fail('connection refused', 'no'))
        return
      }
      stopWaiting = this.#runtime.after(this.#timeoutMs, () =>
        fail(`no answer within ${this.#timeoutMs} ms`, 'unknown'),
      )
      if (world.backendOutage === 'silent') {
        world.strikeFelt('backend down')
        return
      }
      if (world.tableIsMissing) {
        world.strikeFelt('table missing')
        stopWaiting()
        stopWaiting = this.#runtime.after(0.5, () => {
          const missing = new SessionStoreError('E_BACKEND_SCHEMA', 'The backend lacks its table', {
            tier: this.name,
            operation,
            answered: true,
            ...(isChange ? { applied: 'no' } : {}),
          })
          fail('its table is missing', 'no', missing)
        })
        return
      }
      const line = `${this.process.name} backend`
      const isFailing = this.failing > 0
      if (isFailing) {
        this.failing -= 1
        world.strikeFelt('call failed')
        if (world.lots.happens(0.5)) return
      }
      const arrive = (isFirst: boolean): void => {
        if (world.backendOutage !== undefined) return
        const heldMs = world.heldMs(this.process.name)
        if (heldMs > 0) {
          network.deliver(heldMs + world.lots.between(0, 2), () => arrive(isFirst))
          return
        }
        const answer = execute()
        world.note(
          this.process,
          `backend ${operation} ${names} → ${world.shownAnswer(locators[0]?.key ?? '', answer)}${isFirst ? '' : ' (again)'}`,
        )
        if (!isFirst || isFailing) return
        const isSprung = world.spring(this.process.name, operation, locators[0]?.key ?? '', isTakeover)
        if (isChange && network.meets('message duplicated'))
          network.deliver(network.delayMs(line, config.backendTimeoutMs, slowMs) + world.lots.between(0, 50), () =>
            arrive(false),
          )
        if (isChange && network.meets('commit unanswered')) return
        if (network.meets('reply dropped') || isSprung) return
        network.deliver(
          network.delayMs(`${line} back`, config.backendTimeoutMs, 0),
          () => {
            if (settled) return
            settled = true
            stopWaiting()
            resolve(answer)
          },
          this.process,
        )
      }
      const slowMs = world.backendIsSlow ? world.lots.between(0, this.#timeoutMs * 1.3) : 0
      if (slowMs > 0) world.strikeFelt('backend slow')
      if (network.meets('request dropped')) return
      // A statement that waits behind a lock is committed long after everybody has given it up.
      const lateMs = isChange && network.meets('command very late') ? world.lots.between(1_000, 40_000) : 0
      network.deliver(network.delayMs(line, config.backendTimeoutMs, slowMs) + lateMs, () => arrive(true))
    })
  }
}
