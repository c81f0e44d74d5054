import { couchdbAnswer, OWN_PREFIXES } from '../servers/couchdb.js'

/** The names of all databases on a server. @throws Error if it does not tell them, as to anybody but an administrator */
export const databasesOf = async (url: string): Promise<readonly string[]> => {
  const { status, body } = await couchdbAnswer(url, '_all_dbs')
  if (status !== 200 || !Array.isArray(body))
    throw new Error(`The server does not name its databases (HTTP ${status}); COUCHDB_URL takes a server administrator`)
  return body.map(String)
}

/** What is not as it was before; empty if the server is as it was found. Databases of others may come and go. */
export const complaintsAbout = (before: readonly string[], after: readonly string[]): readonly string[] =>
  after
    .filter((name) => !before.includes(name) && OWN_PREFIXES.some((prefix) => name.startsWith(prefix)))
    .map((name) => `${name} was left behind, or another run made it`)
