import { passingTo } from '../../../scripts/servers/couchdb-wire.js'

/** Passes everything on to a CouchDB, and keeps a list of what was asked: `POST /db/_bulk_docs (3)`. */
export interface Counting {
  readonly url: string
  /** What passed while `work` ran, and a moment longer for what it started beside its answers. */
  during(work: () => Promise<unknown>): Promise<readonly string[]>
  close(): Promise<void>
}

/** @param url of the server, with the password if it takes one */
export const countingFor = async (url: string): Promise<Counting> => {
  const passed: string[] = []
  const passing = await passingTo(url, ({ method, path, body }) => passed.push(`${method} ${path}${documentsIn(body)}`))
  return {
    ...passing,
    during: async (work) => {
      passed.length = 0
      await work()
      await new Promise((resolve) => setTimeout(resolve, 100))
      return passed.splice(0)
    },
  }
}

const documentsIn = (body: Buffer): string => {
  if (body.length === 0 || body[0] !== '{'.charCodeAt(0)) return ''
  const { docs } = JSON.parse(body.toString('utf8')) as { readonly docs?: readonly unknown[] }
  return docs === undefined ? '' : ` (${docs.length})`
}
