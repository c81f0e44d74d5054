import type { SessionInfo } from '../contract/session-store.js'
import { dataInJson } from './data-in-json.js'
import { duration, moment, table } from './output.js'

/** Sessions as a table. A session that cannot be read has a row all the same. */
export const sessionTable = (sessions: readonly SessionInfo[], nowMs: number): readonly string[] => {
  if (sessions.length === 0) return ['No sessions.']
  const rows = sessions.map((session) => [
    session.handle,
    session.userId ?? '',
    session.app ?? '',
    session.createdAt === undefined ? '' : moment(session.createdAt),
    session.seenAt === undefined ? '' : ago(session.seenAt, nowMs),
    session.expiresAt === undefined ? '' : until(session.expiresAt, nowMs),
    session.error === undefined ? '' : 'cannot be read here',
  ])
  return [
    ...table(['handle', 'user', 'app', 'created', 'last seen', 'ends', ''], rows),
    ...sessions.flatMap(({ handle, data }) => (data === undefined ? [] : [`${handle}: ${dataLine(data)}`])),
  ]
}

/** `3 min ago` */
export const ago = (atMs: number, nowMs: number): string =>
  atMs > nowMs ? `in ${duration(atMs - nowMs)}` : `${duration(nowMs - atMs)} ago`

/** `in 20 h` */
export const until = (atMs: number, nowMs: number): string => ago(atMs, nowMs)

/** A moment with how long ago that is. */
export const momentAndAge = (atMs: number, nowMs: number): string => `${moment(atMs)} (${ago(atMs, nowMs)})`

/** The data of a session as a line. */
export const dataLine = (data: unknown): string => JSON.stringify(dataInJson(data))

/** What of a session may be shown in JSON, and in which form: the properties of an error may hold what somebody stored. */
export const plainSession = (session: SessionInfo): object => {
  if (session.error !== undefined)
    return { ...session, error: { code: session.error.code, message: session.error.message } }
  return session.data === undefined ? session : { ...session, data: dataInJson(session.data) }
}
