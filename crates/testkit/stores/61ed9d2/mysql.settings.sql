CREATE TABLE `milvus_cdc_store` (
  `root` varbinary(512) NOT NULL,
  `layout` int(10) unsigned NOT NULL,
  `last_version` bigint(20) unsigned NOT NULL,
  PRIMARY KEY (`root`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
CREATE TABLE `milvus_cdc_records` (
  `record_key` varbinary(1024) NOT NULL,
  `value` longblob NOT NULL,
  `version` bigint(20) unsigned NOT NULL,
  PRIMARY KEY (`record_key`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci ROW_FORMAT=DYNAMIC;
INSERT INTO milvus_cdc_store VALUES ('go-cdc', 1, 251);
