/** A registry on the loopback that has what is installed here, so that a test needs no other one to install it again. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import type { Locked } from '../../scripts/release-checks/lock.js'
import { tool } from './packed-package.js'

export interface LocalRegistry {
  readonly url: string
  /** What it was asked for, in order: `GET /pg`. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

/** What a registry says of a package: all versions that it has. */
type Answer = (request: string, response: ServerResponse) => boolean

/**
 * Starts one. It has those of `packages` that are installed, and answers 404 for all others; `instead` may answer a request
 * first, and says whether it did.
 */
export const startRegistry = async (
  packages: readonly Locked[],
  instead: Answer = () => false,
): Promise<LocalRegistry> => {
  const folders = new Map<string, string[]>()
  for (const { name, path } of packages)
    folders.set(name, [...(folders.get(name) ?? []), tool(path.replace(/^node_modules\//, ''))])
  const asked: string[] = []
  let url = ''

  const manifestsOf = (name: string): readonly { readonly version: string; readonly folder: string }[] =>
    (folders.get(name) ?? []).flatMap((folder) => {
      try {
        return [{ ...(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }), folder }]
      } catch {
        return [] // a part for another system
      }
    })

  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '/').slice(1)
    const what = `${request.method} /${path}`
    asked.push(what)
    if (instead(what, response)) return
    const [name = '', version] = path.split('/-/')
    const found = manifestsOf(name)
    if (request.method !== 'GET' || found.length === 0) return void json(response, 404, { error: 'Not found' })
    if (version === undefined) {
      const versions = found.map(({ folder: _, ...manifest }) => [
        manifest.version,
        { ...manifest, dist: { tarball: `${url}/${name}/-/${manifest.version}.tgz` } },
      ])
      return void json(response, 200, {
        name,
        'dist-tags': { latest: found.at(-1)?.version },
        versions: Object.fromEntries(versions),
      })
    }
    const folder = found.find((one) => `${one.version}.tgz` === version)?.folder
    if (folder === undefined) return void json(response, 404, { error: 'Not found' })
    // npm drops the first folder of each path in a tarball, whatever its name.
    const tar = spawn(
      'tar',
      ['-czf', '-', '--exclude', `${basename(folder)}/node_modules`, '-C', dirname(folder), basename(folder)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    tar.stdout.pipe(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, asked, close: () => closed(server) }
}

/** Answers in JSON. */
export const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const closed = async (server: Server): Promise<void> => {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
