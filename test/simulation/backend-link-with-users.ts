import type {
  DestroyOptions,
  DestroyOutcome,
  Enumerable,
  KeyListOptions,
  KnowsUsers,
  ListedSession,
  ListOptions,
  Page,
  RecordToken,
  UserLocator,
  UserRecord,
  Which,
} from '../../src/contract/backend.js'
import type { Locator } from '../../src/contract/locator.js'
import { BackendLink } from './backend-link.js'

/** The same way to a backend that keeps records of its users and can list. What can go wrong there is the same. */
export class BackendLinkWithUsers extends BackendLink implements KnowsUsers, Enumerable {
  readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    return this.#askAbout(user.userId, 'readUser', false, () => {
      this.world.users.onRead(this.process.name, user.userId)
      return this.world.backendServer.readUser(user)
    })
  }

  writeUser(user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    return this.#askAbout(user.userId, 'writeUser', true, () => {
      const { epoch } = this.world.backendServer.recordOf(user.userId)
      const outcome = this.world.backendServer.writeUser(user, record, token)
      if (outcome === 'written') this.world.users.onWritten(this.process.name, user.userId, record.epoch > epoch)
      return outcome
    })
  }

  override destroy(locator: Locator, options: DestroyOptions): Promise<DestroyOutcome> {
    this.world.users.onDestroyed(this.process.name, locator.key)
    return super.destroy(locator, options)
  }

  list(options: ListOptions): Promise<Page<ListedSession>> {
    return this.#askAbout(options.userId, 'list', false, () => this.world.backendServer.list(options))
  }

  listKeys(options: KeyListOptions): Promise<Page<Locator>> {
    return this.#askAbout(options.userId, 'listKeys', false, () => this.world.backendServer.listKeys(options))
  }

  count(which: Which): Promise<number> {
    return this.ask('count', [], false, () => this.world.backendServer.count(which))
  }

  countUsers(which: Which): Promise<number> {
    return this.ask('countUsers', [], false, () => this.world.backendServer.countUsers(which))
  }

  /** A call about a user, or about all of them. */
  #askAbout<T>(userId: string | undefined, operation: string, isChange: boolean, execute: () => T): Promise<T> {
    return this.ask(operation, [], isChange, execute, false, userId)
  }
}
