import { NO_RECORD, type RecordToken, type UserLocator, type UserRecord } from '../../contract/backend.js'
import { SessionStoreError } from '../../errors.js'
import { isError } from '../../tools/is-error.js'
import type { Databases } from './databases.js'
import type { Documents, WriteResult } from './documents.js'
import { refusedValue } from './faults.js'
import { USERS } from './months.js'
import type { Call, Requests } from './requests.js'
import { contentOfUser, keyOfUser, type UserLeaf } from './user-document.js'

/** The records of users, which are in a database of their own: they outlive every month. */
export class Users {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #documents: Documents<UserLeaf>

  constructor(requests: Requests, databases: Databases, documents: Documents<UserLeaf>) {
    this.#requests = requests
    this.#databases = databases
    this.#documents = documents
  }

  /** A database that is not there yet holds no record. */
  async read(call: Call, user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    const leaf = await this.#documents.read(call, USERS, this.#keyOf(call, user))
    if (leaf === undefined) return { record: NO_RECORD, token: '' }
    if (leaf.kind === 'unreadable') throw leaf.error
    if (leaf.userId !== user.userId) throw this.#anothers(call)
    return { record: leaf.record, token: leaf.revision }
  }

  /** The token is the revision of the leaf that `read` chose, so that CouchDB itself sees whether it still stands. */
  async write(call: Call, user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    const key = this.#keyOf(call, user)
    const document = { key, revision: token === '' ? undefined : token, content: contentOfUser(user, record) }
    let written: WriteResult = await this.#documents.write(call, USERS, document)
    if (written.result === 'no-database') {
      await this.#databases.make(call, USERS)
      written = await this.#documents.write(call, USERS, document)
    }
    if (written.result === 'failed') throw written.error
    if (written.result === 'no-database')
      throw this.#requests.untouched(call, 'the database of the users comes and goes')
    return written.result === 'written' ? 'written' : 'changed'
  }

  #keyOf(call: Call, user: UserLocator): string {
    try {
      return keyOfUser(user)
    } catch (cause) {
      const reason = isError(cause) ? cause.message : 'unreadable'
      throw refusedValue('E_SESSION_DATA', reason, this.#requests.context(call), cause)
    }
  }

  /** Somebody has put it there by hand: no two users are known that share a hash. */
  #anothers(call: Call): SessionStoreError {
    const { tier, operation } = this.#requests.context(call)
    const message = `${tier} has a record in the place of a user that is another user’s`
    return new SessionStoreError('E_SESSION_FORMAT', message, { tier, operation })
  }
}
