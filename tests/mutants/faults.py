# SPDX-License-Identifier: Apache-2.0
"""All deliberate faults, by what they break. A test is a program below build/, or a test's name for pytest.

If you write a check that matters, add the fault that omits it to the file of its subject.
"""
import faults_device
import faults_node
import faults_records
import faults_store
import faults_strict

FAULTS = [*faults_device.FAULTS, *faults_store.FAULTS, *faults_strict.FAULTS, *faults_records.FAULTS, *faults_node.FAULTS]
