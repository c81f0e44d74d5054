import { ownMemcached } from '../support/servers.js'
import { openCouchdbCluster } from './couchdb-cluster.js'
import { races } from './races.js'

const startMemcached = await ownMemcached()
const found = typeof startMemcached === 'function' ? () => openCouchdbCluster(startMemcached) : startMemcached

races('three processes on one Memcached and one CouchDB', found, 0.4)
