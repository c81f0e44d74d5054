import { ownMemcached } from '../support/servers.js'
import { openCouchdbCluster } from './couchdb-cluster.js'
import { userRaces } from './user-races.js'

const startMemcached = await ownMemcached()

userRaces(
  'the sessions of one user in three processes on one Memcached and one CouchDB',
  typeof startMemcached === 'function' ? () => openCouchdbCluster(startMemcached) : startMemcached,
)
